"""Paths through the latent space: lines and arcs between two latents, and one dimension varied."""

import math
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray
from reparam.errors import OptionError
from reparam.integers import whole

Path = Literal["linear", "spherical"]
PATHS: Final[tuple[Path, ...]] = get_args(Path)

_Wide = npt.NDArray[np.float64]


def between(start: FloatArray, end: FloatArray, *, steps: int, path: Path) -> FloatArray:
    """Points from each start to its end, both included to the bit.

    Args:
        start: [n, *latent].
        end: [n, *latent].
        steps: points on each path, at least 2.
        path: "linear", evenly spaced on the straight line; "spherical", on the arc: the direction turns evenly from
            one end's to the other's and the norm goes evenly from one norm to the other, so that it never leaves what
            lies between them. Latents of many dimensions drawn from a normal prior lie near a sphere, and the middle
            of a straight line has a norm that none of them has.

    Returns:
        float32 [n, steps, *latent].

    Raises:
        OptionError: another path, or fewer than 2 steps.

    Source:
        Shoemake, "Animating rotation with quaternion curves" (1985), for the arc; White, "Sampling Generative
        Networks" (2016), for its use in latent spaces.

    Examples:
        >>> east, north = np.array([[2, 0]], "float32"), np.array([[0, 2]], "float32")
        >>> between(east, north, steps=3, path="spherical")[0, 1].round(3).tolist()
        [1.4140000343322754, 1.4140000343322754]
    """
    steps = whole("steps", steps, low=2)  # both ends
    if path not in PATHS:
        raise OptionError(f"path: must be one of {', '.join(PATHS)}, got {path!r}")
    place = np.linspace(0, 1, steps).reshape(1, steps, 1)
    wide = math.prod(start.shape[1:])
    a, b = (ends.reshape(len(ends), 1, wide).astype(np.float64) for ends in (start, end))  # [n, 1, d]
    found = (_arc if path == "spherical" else _line)(a, b, place).astype(np.float32)
    points = found.reshape(len(start), steps, *start.shape[1:])
    points[:, 0], points[:, -1] = start, end
    return points


def _line(a: _Wide, b: _Wide, place: _Wide) -> _Wide:
    return a * (1 - place) + b * place


def _arc(a: _Wide, b: _Wide, place: _Wide) -> _Wide:
    """Along a's direction and across it by cosine and sine: nothing is divided by the sine of a small angle."""
    norm_a, norm_b = (np.linalg.norm(ends, axis=2, keepdims=True) for ends in (a, b))
    flat = (norm_a == 0) | (norm_b == 0) | (a.shape[2] < 2)  # no direction, or none to turn to
    along, towards = a / np.where(norm_a == 0, 1, norm_a), b / np.where(norm_b == 0, 1, norm_b)
    cosine = (along * towards).sum(axis=2, keepdims=True)
    across = towards - cosine * along
    sine = np.linalg.norm(across, axis=2, keepdims=True)
    opposite = (sine < 1e-12) & (cosine < 0)  # every half turn is a shortest way: take one that is always the same
    across = np.where(opposite, _perpendicular(along), across / np.where(sine == 0, 1, sine))
    angle = place * np.arctan2(sine, cosine)
    turned = np.cos(angle) * along + np.sin(angle) * across
    return np.where(flat, _line(a, b, place), turned * _line(norm_a, norm_b, place))


def _perpendicular(along: _Wide) -> _Wide:
    """A unit vector across each of [n, 1, d], made from the axis that it is least along."""
    axis = np.zeros_like(along)
    np.put_along_axis(axis, np.abs(along).argmin(axis=2)[..., None], 1.0, axis=2)
    across = axis - (along * axis).sum(axis=2, keepdims=True) * along
    norm = np.linalg.norm(across, axis=2, keepdims=True)
    found: _Wide = across / np.where(norm == 0, 1, norm)
    return found


def traversed(z: FloatArray, dimensions: list[int], values: npt.NDArray[Any]) -> FloatArray:
    """Each row of z with one dimension set to each value in turn, all others held.

    Args:
        z: [n, *latent].
        dimensions: places in the flattened row.
        values: [steps].

    Returns:
        float32 [n, len(dimensions), steps, *latent].
    """
    n, latent = len(z), z.shape[1:]
    wide = math.prod(latent)
    found = np.broadcast_to(z.reshape(n, 1, 1, wide), (n, len(dimensions), len(values), wide)).copy()
    for row, dimension in enumerate(dimensions):
        found[:, row, :, dimension] = values
    return found.reshape(n, len(dimensions), len(values), *latent)
