"""The rows that a variant is calibrated and measured on, with their noise and the latents that fp32 gives them."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, check_rows, read_rows
from reparam.bundle.golden import Vectors
from reparam.bundle.keyed import keyed_rows
from reparam.bundle.manifest import Input, Role
from reparam.engine.pair import Pair
from reparam.errors import InputError
from reparam.laws import noise
from reparam_export.inputs import small

SEED = 0
KEYED_ROWS = 64  # where nobody gives any
_STEP = 16  # rows at a time: maps of images are large

Feeds = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of both graphs' inputs.

    Attributes:
        encoder: x [n, *input], and eps [n, *latent] where the encoder takes it.
        z: [n, *latent], what the fp32 encoder makes of them.
        source: whether x is data or keyed noise.
    """

    encoder: Feeds
    z: FloatArray
    source: Literal["data", "keyed"]

    @property
    def x(self) -> npt.NDArray[Any]:
        """X."""
        return self.encoder["x"]

    def feeds(self, role: Role, *, step: int = _STEP) -> Iterator[Feeds]:
        """A graph's inputs, a few rows at a time."""
        inputs: Feeds = self.encoder if role == "encoder" else {"z": self.z}
        for start in range(0, len(self.z), step):
            yield {name: values[start : start + step] for name, values in inputs.items()}


def data_rows(given: object, rows: Input) -> npt.NDArray[Any]:
    """The caller's rows of data as the encoder takes them.

    Args:
        given: an array [n, *input]; for a raw graph also images in the range of training, channels first, as the model
            itself takes them; values beyond that range have no level.
        rows: what the encoder takes.

    Raises:
        InputTypeError, InputError: an array that the encoder does not take, or without rows.
    """
    if isinstance(given, np.ndarray):
        given = _levels(cast("npt.NDArray[Any]", given), rows)
    checked = check_rows(given, name="calibrate", row_shape=rows.shape, dtype=np.dtype(rows.dtype))
    if not len(checked):
        raise InputError("calibrate: must have at least one row, got none; a few hundred are usual")
    return read_rows(checked, 0, len(checked), name="calibrate", allow_nan=False)


def rows_for(pair: Pair, data: npt.NDArray[Any] | None) -> Rows:
    """The rows to calibrate and measure on.

    Args:
        pair: the fp32 graphs.
        data: checked rows of the caller, or None for keyed ones.
    """
    manifest = small(pair.manifest) if data is None else pair.manifest
    x = keyed_rows(range(KEYED_ROWS), manifest, manifest.input.shape) if data is None else data
    inputs: Feeds = {"x": x}
    if manifest.latent.noise is not None:
        inputs["eps"] = noise(manifest.latent.noise, SEED, range(len(x)), manifest.latent.shape)
    parts = (slice(start, start + _STEP) for start in range(0, len(x), _STEP))
    z = np.concatenate(
        [pair.encoder.run(["z"], {name: values[part] for name, values in inputs.items()})[0] for part in parts]
    )
    return Rows(inputs, z, "keyed" if data is None else "data")


def _levels(x: npt.NDArray[Any], rows: Input) -> npt.NDArray[Any]:
    """Images [n, channels, height, width] in the range of training as levels, for a raw graph; others as they are."""
    low, high = rows.low, rows.high
    if rows.dtype != "uint8" or low is None or high is None or x.dtype.kind != "f" or x.ndim != 4:
        return x
    levels = np.rint((x - low) * (255 / (high - low)))
    known = (levels >= 0) & (levels <= 255)  # false for NaN
    if not known.all():
        found = x[~known].flat[0]
        raise InputError(f"calibrate: must be from {low:g} to {high:g}, the range of x in training, got {found}")
    return levels.astype(np.uint8).transpose(0, 2, 3, 1)


def vector_feeds(vectors: Vectors, role: Role) -> Feeds:
    """A graph's inputs of a reference vector."""
    if role == "decoder":
        return {"z": vectors["z"]}
    return {name: vectors[name] for name in ("x", "eps") if name in vectors}
