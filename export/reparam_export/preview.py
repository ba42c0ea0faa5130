"""preview.png: samples from the prior, for models of images. It shows no row of anyone's data."""

from typing import Final

import reparam
from reparam.engine.pair import Pair
from reparam.pictures import is_image, mosaic_png, pictures_available
from reparam_export.inputs import small

_SAMPLES: Final = 48
_COLUMNS: Final = 12
_PIXELS: Final = 1 << 18  # of all samples together: large images are few


def preview(pair: Pair) -> bytes | None:
    """A PNG of up to 48 draws from the prior with seed 0, or None where rows are no images or matplotlib is missing."""
    manifest = small(pair.manifest)
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
