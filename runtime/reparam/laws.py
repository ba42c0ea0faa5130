"""Noise as a function of (seed, row): the laws of the standardised noise, and `noise` itself.

A posterior here is a location-scale family, z = mean + std * eps: the law names how eps is distributed, with mean 0
and variance 1 each time. Row i's noise depends on (seed, i) and the stream alone, so the same rows get the same noise
whatever the batch size, chunk, thread, process or device.

Counter layout of Philox4x32-10: (row low word, row high word, block of four words within the row, stream word), with
stream word = 4 * draw + stream number.
"""

import math
from collections.abc import Callable
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from reparam import philox
from reparam.errors import InputError, InputTypeError, OptionError
from reparam.integers import whole

Law = Literal["normal", "uniform", "laplace"]
Stream = Literal["posterior", "prior", "data"]

LAWS: Final[tuple[Law, ...]] = get_args(Law)
STREAMS: Final[tuple[Stream, ...]] = get_args(Stream)  # a stream's number is its place; 3 is reserved

Rows = range | npt.NDArray[np.integer]
Words = tuple[npt.NDArray[np.uint64], ...]

_COUNTERS: Final = 4096  # counters a piece: their intermediates stay in the second-level cache


def _uniforms(words: Words) -> list[npt.NDArray[np.float64]]:
    return [(word.astype(np.float64) + 0.5) * 2.0**-32 for word in words]  # in the open interval (0, 1)


def _normal(words: Words) -> list[npt.NDArray[np.float64]]:
    """Box and Muller (1958): two uniforms give two independent normals."""
    u0, u1, u2, u3 = _uniforms(words)
    normals: list[npt.NDArray[np.float64]] = []
    for radius_source, angle_source in ((u0, u1), (u2, u3)):
        radius = np.sqrt(-2.0 * np.log(radius_source))
        angle = (2.0 * np.pi) * angle_source
        normals += [radius * np.cos(angle), radius * np.sin(angle)]
    return normals


def _uniform(words: Words) -> list[npt.NDArray[np.float64]]:
    """Uniform on the interval of half-width sqrt 3, whose variance is 1."""
    return [np.sqrt(3.0) * (2.0 * u - 1.0) for u in _uniforms(words)]


def _laplace(words: Words) -> list[npt.NDArray[np.float64]]:
    """Laplace with scale 1 / sqrt 2, whose variance is 1, by its inverse distribution function."""
    centred = [u - 0.5 for u in _uniforms(words)]
    return [-np.sqrt(0.5) * np.sign(c) * np.log1p(-2.0 * np.abs(c)) for c in centred]


_TRANSFORMS: Final[dict[Law, Callable[[Words], list[npt.NDArray[np.float64]]]]] = {
    "normal": _normal,
    "uniform": _uniform,
    "laplace": _laplace,
}


def check_seed(seed: int) -> int:
    """The seed as an int, or `OptionError` unless 0 <= seed < 2^64."""
    return whole("seed", seed, low=0, high=2**64 - 1)


def row_ids(rows: Rows) -> npt.NDArray[np.uint64]:
    """Row numbers [n] as uint64, from a range or an integer array; `InputError` for others and negative ones."""
    if isinstance(rows, range):
        ends = (rows[0], rows[-1]) if rows else (0, 0)
        if min(ends) < 0:
            raise InputError(f"rows: row numbers start at 0, got {rows}")
        if max(ends) >= 2**64:
            raise InputError(f"rows: row numbers must be below 2^64, got {rows}")
        if max(ends) - min(ends) >= 2**48 * abs(rows.step):
            raise InputError(f"rows: at most 2^48 rows at a time, got {rows}")
        places = np.arange(len(rows), dtype=np.uint64) * np.uint64(abs(rows.step) if len(rows) > 1 else 1)
        return np.uint64(ends[0]) + places if rows.step > 0 else np.uint64(ends[0]) - places
    ids = np.asarray(rows)
    if isinstance(rows, np.ma.MaskedArray):
        raise InputTypeError("rows: masked arrays are refused, their mask would be lost")
    if ids.dtype.kind not in "iu":
        raise InputTypeError(f"rows: must be a range or an array of integers, got dtype {ids.dtype}")
    if ids.ndim != 1:
        raise InputError(f"rows: must have one dimension, got shape {list(ids.shape)}")
    if ids.dtype.kind == "i" and ids.size and int(ids.min()) < 0:
        raise InputError(f"rows: row numbers start at 0, got {int(ids.min())}")
    return ids.astype(np.uint64)


def _width(shape: tuple[int, ...]) -> int:
    """Values in one row."""
    try:
        sizes = tuple(shape)
    except TypeError:
        raise InputTypeError(f"shape: must be a tuple of sizes, got {type(shape).__qualname__}") from None
    width = math.prod(whole("shape", size, low=0, error=InputError) for size in sizes)
    if width > 2**34:
        raise InputError(f"shape: a row has at most 2^34 values, got {width}")
    return width


def words(
    seed: int, ids: npt.NDArray[np.uint64], blocks: npt.NDArray[np.uint64], *, stream: Stream, draw: int = 0
) -> Words:
    """The four words of (seed, row, block, stream, draw), each uint64 below 2^32; ids and blocks broadcast."""
    stream_word = np.uint64(4 * draw + STREAMS.index(stream))
    return philox.block(seed, ids & np.uint64(0xFFFFFFFF), ids >> np.uint64(32), blocks, stream_word)  # type: ignore[arg-type]


def noise(
    law: Law, seed: int, rows: Rows, shape: tuple[int, ...], *, stream: Stream = "posterior", draw: int = 0
) -> npt.NDArray[np.float32]:
    """Standardised noise (mean 0, variance 1) for the given rows.

    Computed in float64 and rounded once, so that machines whose log and cos differ in the last place still agree but
    for about one draw in 10^8; bit-equal on one machine.

    Args:
        law: "normal", "uniform" (on the interval of half-width sqrt 3) or "laplace".
        seed: 0 <= seed < 2^64.
        rows: numbers of the rows, a range or an integer array [n], each 0 <= row < 2^64.
        shape: shape of one row's noise, as the latent's.
        stream: "posterior" for eps, "prior" for z of generation, "data" for binarisation.
        draw: which of a row's draws, 0 <= draw < 2^30; 0 but for importance samples.

    Returns:
        float32 [n, *shape].

    Raises:
        OptionError: unknown law or stream, seed or draw out of range.
        InputError: rows negative, of another type or rank; shape with a negative entry.

    Source:
        Philox4x32-10, Salmon et al. 2011; Box and Muller 1958 for the normal law.

    Examples:
        >>> import reparam
        >>> whole = reparam.noise("normal", 7, range(100), (20,))
        >>> bool((reparam.noise("normal", 7, range(40, 42), (20,)) == whole[40:42]).all())
        True
    """
    if law not in LAWS:
        raise OptionError(f"law: must be one of {', '.join(LAWS)}, got {law!r}")
    if stream not in STREAMS:
        raise OptionError(f"stream: must be one of {', '.join(STREAMS)}, got {stream!r}")
    draw = whole("draw", draw, low=0, high=2**30 - 1)
    seed, ids, width = check_seed(seed), row_ids(rows), _width(shape)
    blocks = -(-width // 4)  # a row starts a block of its own, so no row shifts another
    out = np.empty((len(ids) * blocks, 4), np.float32)
    transform = _TRANSFORMS[law]
    for start in range(0, len(out), _COUNTERS):
        place = np.arange(start, min(start + _COUNTERS, len(out)), dtype=np.uint64)
        row, within = np.divmod(place, np.uint64(blocks))
        piece = transform(words(seed, ids[row], within, stream=stream, draw=draw))
        for column, values in enumerate(piece):
            out[start : start + _COUNTERS, column] = values
    return np.ascontiguousarray(out.reshape(len(ids), blocks * 4)[:, :width]).reshape(len(ids), *shape)
