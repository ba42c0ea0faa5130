"""The rows that a variant is calibrated and measured on, with their noise and the latents that fp32 gives them."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, check_rows, read_rows
from reparam.bundle.golden import Vectors
from reparam.bundle.manifest import Manifest, Role
from reparam.engine.pair import Pair
from reparam.errors import InputError
from reparam.laws import noise
from reparam_export.source import Source
from reparam_export.vectors import keyed_rows

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


def rows_for(pair: Pair, source: Source, given: object | None) -> Rows:
    """The rows to calibrate and measure on.

    Args:
        pair: the fp32 graphs.
        source: the model, whose keyed rows are taken where none are given.
        given: data [n, *input] of the caller, or None; for a raw graph also images in the range of training, channels
            first, as the model itself takes them.

    Raises:
        InputTypeError, InputError: an array that the encoder does not take, or without rows.
    """
    manifest = pair.manifest
    if given is None:
        x = keyed_rows(range(KEYED_ROWS), source, manifest.input.shape)
    else:
        given = _levels(cast("npt.NDArray[Any]", given), manifest) if isinstance(given, np.ndarray) else given
        checked = check_rows(given, name="calibrate", row_shape=manifest.input.shape, dtype=manifest.input.dtype)
        x = read_rows(checked, 0, len(checked), name="calibrate", allow_nan=False)
    if not len(x):
        raise InputError("calibrate: must have at least one row, got none; a few hundred are usual")
    inputs: Feeds = {"x": x}
    if manifest.latent.noise is not None:
        inputs["eps"] = noise(manifest.latent.noise, SEED, range(len(x)), manifest.latent.shape)
    parts = (slice(start, start + _STEP) for start in range(0, len(x), _STEP))
    z = np.concatenate(
        [pair.encoder.run(["z"], {name: values[part] for name, values in inputs.items()})[0] for part in parts]
    )
    return Rows(inputs, z, "keyed" if given is None else "data")


def _levels(x: npt.NDArray[Any], manifest: Manifest) -> npt.NDArray[Any]:
    """Images [n, channels, height, width] in the range of training as levels, for a raw graph; others as they are."""
    low, high = manifest.input.low, manifest.input.high
    if manifest.input.dtype != "uint8" or low is None or high is None or x.dtype.kind != "f" or x.ndim != 4:
        return x
    return np.rint((x - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def vector_feeds(vectors: Vectors, role: Role) -> Feeds:
    """A graph's inputs of a reference vector."""
    if role == "decoder":
        return {"z": vectors["z"]}
    return {name: vectors[name] for name in ("x", "eps") if name in vectors}
