"""A picture at each validation: held-out rows, their reconstructions, and samples from the prior.

RUN/pictures/epoch-0005.png and so on. The rows and the noise are the same each time, so the pictures compare. At most
about 50 are kept, evenly spaced: when there would be more, every second one goes. Needs the extra `report` (Pillow).
"""

import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch

from reparam import noise
from reparam.arrays import FloatArray
from reparam.files.atomic import write_bytes
from reparam.files.reasons import as_output_error
from reparam.pictures import is_image, mosaic
from reparam_train.model import VAE
from reparam_train.observers import Validation

FOLDER: Final = "pictures"
KEPT: Final = 50
_COLUMNS: Final = 12
_LINES: Final = 4  # of samples
_CELL: Final = 40  # pixels to which a small image is enlarged
_MARGIN: Final = 12
_CAPTION: Final = 22  # pixels of a line of text


def available(shape: tuple[int, ...]) -> bool:
    """Whether rows of this shape are images, and Pillow is there to write them."""
    return is_image(shape) and find_spec("PIL") is not None


class Pictures:
    """An observer that leaves a picture of each validation.

    Args:
        every: epochs between two validations.
    """

    def __init__(self, *, every: int) -> None:
        self._every = every

    def __call__(self, now: Validation, /) -> None:
        """Writes the picture of this epoch, and drops those that are too close to each other."""
        folder = now.folder / FOLDER
        with as_output_error(folder):
            folder.mkdir(exist_ok=True)
        shown = now.data.test.batch(np.arange(min(_COLUMNS, len(now.data.test))))
        again, samples = _outputs(now.model, shown, seed=now.seed)
        low = float(shown.min()) if now.data.low is None else now.data.low
        high = float(shown.max()) if now.data.high is None else now.data.high
        rows = mosaic(np.concatenate([shown, again]), columns=len(shown), low=low, high=high)
        drawn = mosaic(samples, columns=_COLUMNS, low=low, high=high)
        told = f"Epoch {now.epoch}: held-out rows, and below them their reconstructions"
        write_bytes(folder / _name(now.epoch), _png([(told, rows), ("Samples from the prior", drawn)], shown.shape[2]))
        _thin(folder, newest=now.epoch, every=self._every)


def _name(epoch: int) -> str:
    return f"epoch-{epoch:04d}.png"


def _outputs(model: VAE, shown: FloatArray, *, seed: int) -> tuple[FloatArray, FloatArray]:
    """Reconstructions of these rows from the posterior's mean, and samples from the prior numbered from 0."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    try:
        with torch.inference_mode():
            code = model.code(torch.as_tensor(shown, device=device))  # [rows, *latent]
            z = noise("normal", seed, range(_COLUMNS * _LINES), tuple(code.shape[1:]), stream="prior")
            found = [model.decode(part)["x_hat"] for part in (code, torch.as_tensor(z, device=device))]
    finally:
        model.train(was_training)
    return found[0].cpu().numpy(), found[1].cpu().numpy()


def _png(blocks: list[tuple[str, FloatArray]], side: int) -> bytes:
    """Mosaics [height, width, 3] under each other, each with its caption above, enlarged without blurring."""
    from PIL import Image, ImageDraw, ImageFont

    scale = max(1, round(_CELL / side))
    sheets = [
        Image.fromarray(np.round(255 * sheet).astype(np.uint8)).resize(
            (sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST
        )
        for _, sheet in blocks
    ]
    height = _MARGIN + sum(_CAPTION + sheet.height + _MARGIN for sheet in sheets)
    page = Image.new("RGB", (max(sheet.width for sheet in sheets) + 2 * _MARGIN, height), "white")
    draw, font, top = ImageDraw.Draw(page), ImageFont.load_default(14), _MARGIN
    for (told, _), sheet in zip(blocks, sheets, strict=True):
        draw.text((_MARGIN, top), told, fill="black", font=font)
        page.paste(sheet, (_MARGIN, top + _CAPTION))
        top += _CAPTION + sheet.height + _MARGIN
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def _thin(folder: Path, *, newest: int, every: int) -> None:
    """Keeps the newest picture, and of the others those whose epoch is a multiple of every * 2^k."""
    stride = every
    while newest > stride * KEPT:
        stride *= 2
    for file in folder.glob("epoch-*.png"):
        found = re.fullmatch(r"epoch-(\d{4,})\.png", file.name)
        if found and int(found[1]) < newest and int(found[1]) % stride:
            file.unlink(missing_ok=True)
