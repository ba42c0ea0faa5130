"""preview.png: samples from the prior, for models of images. It shows no row of anyone's data."""

from typing import Final

import reparam
from reparam.engine.pair import Pair
from reparam.pictures import is_image, mosaic_png, pictures_available

_SAMPLES: Final = 48
_COLUMNS: Final = 12
_SIDE: Final = 128  # of a sample at most, where the size is open
_PIXELS: Final = 1 << 18  # of all samples together: large images are few


def preview(pair: Pair) -> bytes | None:
    """A PNG of up to 48 draws from the prior with seed 0, or None where rows are no images or matplotlib is missing."""
    manifest = pair.manifest
    factors = manifest.input.factors
    if factors is not None:  # a small size shows what a model is, and costs little
        places = [
            min(side, max(1, _SIDE // factor)) for side, factor in zip(manifest.latent.shape[1:], factors, strict=True)
        ]
        manifest = manifest.at((places[0] * factors[0], places[1] * factors[1]))
    shape, low, high = manifest.input.shape, manifest.input.low, manifest.input.high
    if manifest.input.layout == "channels_last":
        shape, low, high = (shape[2], *shape[:2]), 0, 255
    if not is_image(shape) or not pictures_available():
        return None
    count = min(_SAMPLES, max(1, _PIXELS // (shape[1] * shape[2])))
    z = reparam.noise(manifest.latent.prior, 0, range(count), manifest.latent.shape, stream="prior")
    (x_hat,) = pair.decoder.run(["x_hat"], {"z": z})
    if manifest.input.layout == "channels_last":
        x_hat = x_hat.transpose(0, 3, 1, 2)
    return mosaic_png(x_hat, columns=min(_COLUMNS, count), low=low, high=high)
