"""Work done one item ahead, in a thread, while the caller is busy with the item before."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def ahead(make: Callable[[int], _T], numbers: range) -> Iterator[_T]:
    """The value of make(number) for each number in order; the next one is made while this one is used.

    What `make` raises is raised here, at its place in the order.

    Examples:
        >>> list(ahead(lambda number: number * number, range(2, 5)))
        [4, 9, 16]
    """
    with ThreadPoolExecutor(1, "reparam-ahead") as pool:
        coming = [pool.submit(make, number) for number in numbers[:1]]
        for number in numbers:
            ready = coming.pop().result()
            if number + 1 in numbers:
                coming.append(pool.submit(make, number + 1))
            yield ready
