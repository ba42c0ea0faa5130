"""How cost grows: a straight line through times, a fixed part and a part for each, with what the line leaves over."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from reparam.benchmark.report import Point, Scaling
from reparam.bundle.manifest import Manifest

Over = Literal["batch", "rows", "image", "latent"]
CHUNKS: Final = (1, 2, 4, 8)  # batches of one call, over rows
_SIDES: Final = (1, 2, 3, 4)  # halves of training's sides, over the size of an image
CLOSED: Final = {
    "image": "the sides of x are fixed in this bundle; one bundle for each size would show it",
    "latent": "the sides of z are fixed in this bundle; one bundle for each size would show it",
}


def fit(over: Over, n: Sequence[int], median_ns: Sequence[float]) -> Scaling:
    """fixed_ns + each_ns * n, by least squares of relative errors, so that small times count as much as large ones."""
    counts, times = np.array(n, np.float64), np.array(median_ns, np.float64)
    system = np.stack([1 / times, counts / times], axis=1)  # [points, 2]
    (fixed, each), *_ = np.linalg.lstsq(system, np.ones(len(times)), rcond=None)
    residual = float(np.abs((fixed + each * counts) / times - 1).max())
    return Scaling(
        over=over,
        n=tuple(n),
        median_ns=tuple(map(float, median_ns)),
        fixed_ns=float(fixed),
        each_ns=float(each),
        residual=residual,
    )


def over_batch(points: Sequence[Point]) -> tuple[Scaling, ...]:
    """The line through an arm's points; none through fewer than three, which show nothing."""
    timed = [(point.batch, point.latency.p50_ns) for point in points if point.latency]
    if len(timed) < 3:
        return ()
    batches, times = zip(*timed, strict=True)
    return (fit("batch", batches, times),)


def sizes_of(manifest: Manifest) -> list[tuple[int, int]]:
    """Heights and widths to measure where they are open: halves, wholes and doubles of training's; else none."""
    factors = manifest.input.factors
    if factors is None:
        return []
    sides = manifest.latent.shape[1:]
    found = [
        tuple(max(1, side * half // 2) * factor for side, factor in zip(sides, factors, strict=True)) for half in _SIDES
    ]
    return [(height, width) for height, width in dict.fromkeys(found)]
