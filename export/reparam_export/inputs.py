"""Keyed inputs: x and eps that a source model and its graphs are compared on, the same for every export."""

from collections.abc import Iterable
from typing import Any, Final, Protocol

import numpy.typing as npt

import reparam
from reparam.bundle.golden import Case, Vectors
from reparam.bundle.keyed import SEED, keyed_rows
from reparam.bundle.manifest import Input, Latent, Likelihood, Manifest, sized

CHECKED: Final = (1, 3, 5)  # batch sizes that are verified
KEPT: Final = (1, 3)  # batch sizes that golden.npz keeps
GOLDEN_BYTES: Final = 1 << 20
_SIDE: Final = 128  # of an image, where its size is open and any would do


class Described(Protocol):
    """What the inputs depend on: a source or a manifest."""

    @property
    def input(self) -> Input:
        """One row of x."""
        ...

    @property
    def latent(self) -> Latent:
        """One row of z."""
        ...

    @property
    def likelihood(self) -> Likelihood | None:
        """p(x given z), for the units of a table's columns."""
        ...


def golden_sizes(source: Described) -> tuple[tuple[int, int], ...] | None:
    """The two smallest heights and widths that tell one from the other; None where they are fixed."""
    if source.input.factors is None:
        return None
    height, width = source.input.factors
    return (height, 2 * width), (2 * height, 3 * width)


def keyed_cases(source: Described, batches: Iterable[int] = CHECKED) -> dict[Case, range]:
    """The cases that are compared, each with the numbers of its own rows."""
    found: dict[Case, range] = {}
    first = 0
    for size in golden_sizes(source) or (None,):
        for batch in batches:
            found[Case(batch, size)] = range(first, first + batch)
            first += batch
    return found


def keyed_inputs(source: Described, rows: range, size: tuple[int, int] | None = None) -> dict[str, npt.NDArray[Any]]:
    """X [n, *input] and eps [n, *latent] of these rows; x alone of a plain autoencoder."""
    shape, latent = source.input.shape, source.latent.shape
    if size is not None:
        shape, latent = sized(source.input, source.latent, size)
    x = keyed_rows(rows, source, shape)
    if source.latent.noise is None:
        return {"x": x}
    return {"x": x, "eps": reparam.noise(source.latent.noise, SEED, rows, latent)}


def small(manifest: Manifest) -> Manifest:
    """The manifest for images of about 128 a side or less, where the size is open: enough to see a model by."""
    factors = manifest.input.factors
    if factors is None:
        return manifest
    places = [
        min(side, max(1, _SIDE // factor)) for side, factor in zip(manifest.latent.shape[1:], factors, strict=True)
    ]
    return manifest.at((places[0] * factors[0], places[1] * factors[1]))


def kept(found: dict[Case, Vectors]) -> dict[Case, Vectors]:
    """What golden.npz keeps: batches 1 and 3, or batch 1 alone where both exceed a mebibyte."""
    both = {case: vectors for case, vectors in found.items() if case.batch in KEPT}
    size = sum(array.nbytes for vectors in both.values() for array in vectors.values())
    return both if size <= GOLDEN_BYTES else {case: both[case] for case in both if case.batch == KEPT[0]}
