"""Moments, quantiles and independence of the noise, each within five standard errors at a fixed seed."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

import reparam
from reparam.laws import LAWS, Law

DRAWS = 10_000_000
SIGMAS = 5.0
# E x^2k for k = 1 to 4 of each law, all with variance 1
MOMENTS: dict[Law, tuple[float, float, float, float]] = {
    "normal": (1, 3, 15, 105),
    "uniform": (1, 9 / 5, 27 / 7, 9),
    "laplace": (1, 6, 90, 2520),
}
CUMULATIVE: dict[Law, Callable[[float], float]] = {
    "normal": lambda x: 0.5 * math.erfc(-x / math.sqrt(2)),
    "uniform": lambda x: min(max(0.5 + x / math.sqrt(12), 0), 1),
    "laplace": lambda x: 0.5 * math.exp(math.sqrt(2) * x) if x < 0 else 1 - 0.5 * math.exp(-math.sqrt(2) * x),
}


@pytest.fixture(scope="module", params=LAWS)
def drawn(request: pytest.FixtureRequest) -> tuple[Law, npt.NDArray[np.float64]]:
    law: Law = request.param
    return law, reparam.noise(law, 20_260_101, range(DRAWS // 10), (10,)).ravel().astype(np.float64)


def test_mean_variance_and_kurtosis_are_the_laws(drawn: tuple[Law, npt.NDArray[np.float64]]) -> None:
    law, x = drawn
    m2, m4, m6, m8 = MOMENTS[law]
    square = x * x
    found = (x.mean(), square.mean(), (square * x).mean(), (square * square).mean())
    wanted = (0, m2, 0, m4)
    spread = (m2, m4 - m2**2, m6, m8 - m4**2)  # variances of one draw's first four powers
    for power in range(4):
        assert abs(found[power] - wanted[power]) < SIGMAS * math.sqrt(spread[power] / len(x)), f"power {power + 1}"


def test_the_distribution_function_is_the_laws(drawn: tuple[Law, npt.NDArray[np.float64]]) -> None:
    law, x = drawn
    for place in (-4.0, -3.0, -1.7, -1.0, -0.3, 0.0, 0.1, 0.5, 1.2, 1.73, 2.5, 3.5):
        share = CUMULATIVE[law](place)
        bound = SIGMAS * math.sqrt(share * (1 - share) / len(x))
        assert abs((x < place).mean() - share) <= bound, f"share below {place}"


def neighbours(law: Law) -> dict[str, npt.NDArray[np.float64]]:
    """Arrays [100000, 10] that differ in one argument each, beside the one called `itself`."""
    n, shape = 100_000, (10,)
    return {
        "itself": reparam.noise(law, 7, range(n), shape),
        "another seed": reparam.noise(law, 8, range(n), shape),
        "a seed one high word on": reparam.noise(law, 7 + 2**32, range(n), shape),
        "another stream": reparam.noise(law, 7, range(n), shape, stream="prior"),
        "the data's stream": reparam.noise(law, 7, range(n), shape, stream="data"),
        "another draw": reparam.noise(law, 7, range(n), shape, draw=1),
        "the next rows": reparam.noise(law, 7, range(1, n + 1), shape),
        "rows one high word on": reparam.noise(law, 7, range(2**32, 2**32 + n), shape),
        "columns of the next block": reparam.noise(law, 7, range(n), (14,))[:, 4:],
        "the next columns": reparam.noise(law, 7, range(n), (11,))[:, 1:],
    }


@pytest.mark.parametrize("law", LAWS)
def test_seeds_streams_draws_rows_and_columns_are_independent(law: Law) -> None:
    arrays = {name: array.ravel().astype(np.float64) for name, array in neighbours(law).items()}
    _, m4, _, _ = MOMENTS[law]
    for (one, a), (other, b) in itertools.combinations(arrays.items(), 2):
        n = len(a)
        assert abs((a * b).mean()) < SIGMAS / math.sqrt(n), f"{one} and {other}"
        assert abs(((a * a - 1) * (b * b - 1)).mean()) < SIGMAS * (m4 - 1) / math.sqrt(n), f"squares: {one}, {other}"
