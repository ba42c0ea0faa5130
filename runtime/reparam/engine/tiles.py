"""Large images through the graphs a tile at a time: overlapping windows, blended where they meet.

A tile's own edge is not the image's: what the graph pads there is not what lies there. So each tile reaches over its
seams by `overlap` pixels of x. Its outermost half of that is context, computed and dropped; over the rest its weight
rises from 0 to 1 while its neighbour's falls. Where `overlap` is at least the width of the receptive field, no value
that counts has seen a tile's edge, and the whole is that of one run.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, empty, read_rows
from reparam.engine.rows import Noise, Rows
from reparam.errors import InputError, OptionError
from reparam.integers import whole

_Run = Callable[[npt.NDArray[Any], tuple[slice, ...], int], list[npt.NDArray[Any]]]  # cut, latents, row; outputs


class Window(NamedTuple):
    """Where a tile lies along one axis, and what it counts for there."""

    start: int
    """First pixel of x."""
    stop: int
    """Pixel of x behind the last."""
    first: int
    """First cell of the output that it counts for: a pixel, or a place of the latent."""
    weight: FloatArray
    """Of each cell from there on, above 0; those of all tiles on a cell sum to 1."""


def windows(length: int, *, tile: int, overlap: int, factor: int, cell: int) -> list[Window]:
    """Tiles along one axis, evenly spread, each of the same length.

    Args:
        length: of the axis, in pixels of x.
        tile: of each tile, in pixels, a multiple of factor; the axis itself where that is shorter.
        overlap: how far a tile reaches over each seam, in pixels; twice that is less than tile.
        factor: how many pixels a place of the latent stands for; tiles begin at multiples of it.
        cell: how many pixels one cell of the output stands for: 1 for an image, factor for a latent.

    Examples:
        >>> [(w.start, w.stop) for w in windows(96, tile=40, overlap=8, factor=4, cell=1)]
        [(0, 40), (16, 56), (36, 76), (56, 96)]
    """
    tile = min(tile, length)
    count = 1 if tile == length else math.ceil((length - 2 * overlap) / (tile - 2 * overlap))
    starts = [number * (length - tile) // max(1, count - 1) // factor * factor for number in range(count)]
    middle = (
        np.arange(tile // cell, dtype=np.float64) * cell + cell / 2
    )  # of each cell, in pixels from the tile's start
    raw = np.zeros((count, length // cell))
    for row, start in zip(raw, starts, strict=True):
        left = _ramp(middle, overlap) if start > 0 else 1.0
        right = _ramp(tile - middle, overlap) if start + tile < length else 1.0
        row[start // cell : (start + tile) // cell] = left * right
    share = (raw / raw.sum(axis=0)).astype(np.float32)
    found: list[Window] = []
    for row, start in zip(share, starts, strict=True):
        (counts,) = np.nonzero(row)  # without gaps
        first, last = int(counts[0]), int(counts[-1]) + 1
        found.append(Window(start, start + tile, first, row[first:last]))
    return found


def _ramp(distance: npt.NDArray[np.float64], overlap: int) -> npt.NDArray[np.float64]:
    """The weight at a distance from a tile's edge inside the image: 0 in half the overlap, then rising over its width.

    Two neighbours share at least twice the overlap, so that one of them always counts.
    """
    return ((distance - overlap / 2) / overlap).clip(0, 1) if overlap else np.ones_like(distance)


class Tiles:
    """The sessions of a model, fed one tile of one row at a time.

    Raises:
        OptionError: a bundle whose sides are fixed, or a tile or overlap that cannot be.
    """

    def __init__(self, rows: Rows, tile: tuple[int, int], overlap: int | None) -> None:
        factors = rows.manifest.input.factors
        if factors is None:
            raise OptionError(f"tile: this bundle's rows are always {list(rows.input)}; leave it out")
        try:
            height, width = (whole(f"tile[{axis}]", side, low=1) for axis, side in enumerate(tile))
        except (TypeError, ValueError) as error:
            if isinstance(error, OptionError):
                raise
            raise OptionError(f"tile: must be (height, width) in pixels of x, got {tile!r:.80}") from None
        if height % factors[0] or width % factors[1]:
            raise OptionError(f"tile: height and width must be multiples of {list(factors)}, got {[height, width]}")
        step = math.lcm(*factors)
        if overlap is None:
            overlap = -(-min(height, width) // (8 * step)) * step
            overlap = overlap if 2 * overlap < min(height, width) else 0
        overlap = whole("overlap", overlap, low=0)
        if overlap % step or 2 * overlap >= min(height, width):
            raise OptionError(
                f"overlap: must be a multiple of {step} and less than half of the tile's sides {[height, width]}, "
                f"got {overlap}"
            )
        self._rows, self._factors, self._tile, self._overlap = rows, factors, (height, width), overlap
        self._behind = rows.manifest.input.layout == "channels_last"

    def encode(self, x: npt.NDArray[Any], outs: list[FloatArray] | None, *, allow_nan: bool) -> list[FloatArray]:
        """Mean and logvar of all rows."""
        encoder, shape = self._rows.pair.encoder, (len(x), *self._rows.latent)

        def run(part: npt.NDArray[Any], window: tuple[slice, ...], row: int) -> list[FloatArray]:  # noqa: ARG001
            eps = np.zeros((1, shape[1], *(side.stop - side.start for side in window)), np.float32)
            return encoder.run(["mean", "logvar"], {"x": part, "eps": eps})

        outs = [empty(shape, np.float32) for _ in range(2)] if outs is None else outs
        return self._blend(run, x, "x", outs, allow_nan=allow_nan)

    def sample(
        self, x: npt.NDArray[Any], eps_of: Noise, outs: list[FloatArray] | None, *, allow_nan: bool
    ) -> FloatArray:
        """Samples z of all rows, with noise drawn for the whole image and cut."""
        encoder, shape = self._rows.pair.encoder, (len(x), *self._rows.latent)
        drawn: dict[int, FloatArray] = {}  # of the row at hand

        def run(part: npt.NDArray[Any], window: tuple[slice, ...], row: int) -> list[FloatArray]:
            if self._rows.manifest.deterministic:
                return encoder.run(["z"], {"x": part})
            if row not in drawn:
                drawn.clear()
                drawn[row] = eps_of(row, row + 1)
            eps = np.ascontiguousarray(drawn[row][(slice(None), slice(None), *window)])
            return encoder.run(["z"], {"x": part, "eps": eps})

        outs = [empty(shape, np.float32)] if outs is None else outs
        return self._blend(run, x, "x", outs, allow_nan=allow_nan)[0]

    def decode(self, z: FloatArray, outs: list[npt.NDArray[Any]] | None, *, allow_nan: bool) -> npt.NDArray[Any]:
        """x_hat of all rows."""
        decoder = self._rows.pair.decoder

        def run(part: FloatArray, window: tuple[slice, ...], row: int) -> list[npt.NDArray[Any]]:  # noqa: ARG001
            return decoder.run(["x_hat"], {"z": part})

        outs = [empty((len(z), *self._rows.input), self._rows.dtype)] if outs is None else outs
        return self._blend(run, z, "z", outs, allow_nan=allow_nan)[0]

    def _blend(
        self, run: _Run, array: npt.NDArray[Any], name: str, outs: list[npt.NDArray[Any]], *, allow_nan: bool
    ) -> list[npt.NDArray[Any]]:
        """All rows through `run`, tile by tile, summed by weight into `outs`; uint8 is rounded at the end."""
        encodes = name == "x"
        behind_in, behind_out = self._behind and encodes, self._behind and not encodes
        for row in range(len(array)):
            sheets = [out[row] if out.dtype == np.float32 else np.zeros(out.shape[1:], np.float32) for out in outs]
            for sheet in sheets:
                sheet[:] = 0
            for down, right in self._windows(cells=encodes):
                pixels = slice(down.start, down.stop), slice(right.start, right.stop)
                latents = tuple(
                    slice(side.start // factor, side.stop // factor)
                    for side, factor in zip(pixels, self._factors, strict=True)
                )
                place = pixels if encodes else latents
                cut = array[row : row + 1, *place] if behind_in else array[row : row + 1, :, *place]
                try:
                    part = read_rows(cut, 0, 1, name=name, allow_nan=allow_nan)
                except InputError:
                    read_rows(array, row, row + 1, name=name, allow_nan=allow_nan)  # names the place in the whole
                    raise
                weight = down.weight[:, None] * right.weight  # [height, width] of what counts
                for sheet, values in zip(sheets, run(part, latents, row), strict=True):
                    _add(sheet, values[0], (down, right), weight, self._cell(encodes=encodes), behind=behind_out)
            for out, sheet in zip(outs, sheets, strict=True):
                if out.dtype != np.float32:
                    out[row] = np.rint(sheet).clip(0, 255)
        return outs

    def _cell(self, *, encodes: bool) -> tuple[int, int]:
        return self._factors if encodes else (1, 1)

    def _windows(self, *, cells: bool) -> Iterator[tuple[Window, Window]]:
        """Each tile of an image, as its windows down and across."""
        shape = self._rows.input[:2] if self._behind else self._rows.input[1:]
        down, across = (
            windows(length, tile=tile, overlap=self._overlap, factor=factor, cell=cell)
            for length, tile, factor, cell in zip(
                shape, self._tile, self._factors, self._cell(encodes=cells), strict=True
            )
        )
        return ((one, other) for one in down for other in across)


def _add(
    sheet: npt.NDArray[np.float32],
    values: npt.NDArray[Any],
    place: tuple[Window, Window],
    weight: FloatArray,
    cell: tuple[int, int],
    *,
    behind: bool,
) -> None:
    """Adds what counts of a tile's output, by its weight; the rest is not touched, so no NaN of it spreads."""
    theirs = tuple(slice(side.first, side.first + len(side.weight)) for side in place)
    own = tuple(
        slice(side.first - side.start // size, side.first - side.start // size + len(side.weight))
        for side, size in zip(place, cell, strict=True)
    )
    if behind:
        sheet[theirs] += weight[:, :, None] * values[own]
    else:
        sheet[:, *theirs] += weight * values[:, *own]
