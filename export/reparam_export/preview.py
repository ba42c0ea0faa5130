"""preview.png: samples from the prior, for models of images. It shows no row of anyone's data."""

from typing import Final

import reparam
from reparam.engine.pair import Pair
from reparam.pictures import is_image, mosaic_png, pictures_available

_ROWS: Final = 4
_COLUMNS: Final = 12


def preview(pair: Pair) -> bytes | None:
    """A PNG of 48 samples from the prior with seed 0, or None where rows are no images or matplotlib is missing."""
    manifest = pair.manifest
    if not is_image(manifest.input.shape) or not pictures_available():
        return None
    z = reparam.noise(manifest.latent.prior, 0, range(_ROWS * _COLUMNS), manifest.latent.shape, stream="prior")
    x_hat = pair.decoder.run(["x_hat"], {"z": z})[0]
    return mosaic_png(x_hat, columns=_COLUMNS, low=manifest.input.low, high=manifest.input.high)
