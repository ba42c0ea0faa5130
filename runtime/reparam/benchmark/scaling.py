"""How cost grows: a straight line through times, a fixed part and a part for each, with what the line leaves over."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np

from reparam.benchmark.arms import Measured
from reparam.benchmark.feeds import Feeds, feeds_of
from reparam.benchmark.report import Point, Scaling
from reparam.benchmark.timing import affordable, latency_of, take_turns
from reparam.benchmark.watch import Advance
from reparam.bundle.manifest import Manifest
from reparam.vae import VAE

Over = Literal["batch", "rows", "image", "latent"]
CHUNKS: Final = (1, 2, 4, 8)  # batches of one call, over rows
_MOST_BYTES: Final = 2**28  # of rows of x for one call
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


def scale(arms: Sequence[Measured], feeds: Feeds, reference: VAE, *, seconds: float, advance: Advance) -> None:
    """Lines over the batch for all arms; over rows, and over the size where it is open, for numpy to numpy."""
    for arm in arms:
        arm.scaling = over_batch([arm.points[batch] for batch in sorted(arm.points)])
    plain = [arm for arm in arms if arm.timed and arm.spec.path == "numpy" and arm.costs]
    largest = max((max(arm.costs) for arm in plain), default=1)
    plain = [arm for arm in plain if largest in arm.costs]
    sizes = sizes_of(reference.manifest)
    part = 0.5 if sizes else 1.0  # of the time and of the phase, for rows

    def of_rows(arm: Measured, n: int) -> int:
        return arm.costs[largest] * n // largest

    most = max(largest, _MOST_BYTES // feeds.x[:1].nbytes)
    rows = {n * largest: feeds.first(n * largest) for n in CHUNKS if n * largest <= most}
    found_of = _times(plain, rows, cost=of_rows, seconds=part * seconds, advance=lambda done: advance(part * done))
    for arm, found in found_of:
        arm.scaling += (fit("rows", list(found), list(found.values())),)
    if not sizes:
        return
    usual = math.prod(sizes[1])  # pixels, about those of training

    def of_pixels(arm: Measured, n: int) -> int:
        least = min(arm.costs)
        return arm.costs[least] * n // (usual * least)

    sized = {math.prod(size): feeds_of(reference, 1, size) for size in sizes}
    found_of = _times(
        plain, sized, cost=of_pixels, seconds=part * seconds, advance=lambda done: advance(part + (1 - part) * done)
    )
    for arm, found in found_of:
        values, times = [sized[n].z.size for n in found], list(found.values())
        arm.scaling += (fit("image", list(found), times), fit("latent", values, times))


def _times(
    arms: Sequence[Measured],
    fed: Mapping[int, Feeds],
    *,
    cost: Callable[[Measured, int], int],
    seconds: float,
    advance: Advance,
) -> Iterator[tuple[Measured, dict[int, float]]]:
    """Median nanoseconds by n of each arm that had time for three of them, all taken in turn."""
    can = affordable({(index, n): cost(arm, n) for index, arm in enumerate(arms) for n in fed}, seconds)
    calls = {
        (index, n): arm.opened.call(arm.spec.operation, fed[n]).run
        for index, arm in enumerate(arms)
        for n in fed
        if arm.opened and can[index, n]
    }
    visits = take_turns(calls, seconds=seconds, advance=advance, failed=lambda key, error: arms[key[0]].lose(error))
    for index, arm in enumerate(arms):
        if not arm.timed:
            continue
        found = {n: latency_of(visits[index, n]).p50_ns for n in fed if (index, n) in visits}
        if len(found) >= 3:
            yield arm, found
