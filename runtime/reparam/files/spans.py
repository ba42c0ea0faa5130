"""Spans of rows, (start, stop): what is done of a whole, what is left, and how several share it."""

from collections.abc import Iterable

Span = tuple[int, int]


def union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same rows in as few spans as it takes, in order.

    Examples:
        >>> union([(4, 6), (0, 2), (2, 4), (8, 9)])
        ((0, 6), (8, 9))
    """
    found: list[Span] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        elif start < stop:
            found.append((start, stop))
    return tuple(found)


def rows_in(spans: Iterable[Span]) -> int:
    """How many rows spans without overlap hold."""
    return sum(stop - start for start, stop in spans)


def missing(done: Iterable[Span], rows: int) -> tuple[Span, ...]:
    """The spans between 0 and `rows` that are not done.

    Examples:
        >>> missing([(2, 4)], 6)
        ((0, 2), (4, 6))
    """
    edges = [0]
    for start, stop in union(done):
        edges += [start, stop]
    edges.append(rows)
    return tuple((start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop)


def shares(spans: Iterable[Span], count: int, unit: int) -> list[tuple[Span, ...]]:
    """Spans cut into at most `count` shares of consecutive rows, of about as many units of rows each.

    Cuts lie at whole units from a span's start, so that no share changes which rows are run together.

    Examples:
        >>> shares([(0, 10)], 2, 4)
        [((0, 4),), ((4, 10),)]
    """
    spans = list(spans)
    units = sum(-(-(stop - start) // unit) for start, stop in spans)
    found: list[tuple[Span, ...]] = []
    for share in range(count):
        first, last = units * share // count, units * (share + 1) // count
        own: list[Span] = []
        before = 0
        for start, stop in spans:
            here = -(-(stop - start) // unit)
            begin, end = max(first - before, 0), min(last - before, here)
            if begin < end:
                own.append((start + begin * unit, min(start + end * unit, stop)))
            before += here
        if own:
            found.append(tuple(own))
    return found
