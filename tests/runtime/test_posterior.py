"""The posterior's divergence and spread, against numerical integration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.laws import LAWS, Law

NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
PIECES = {  # intervals of the standardised noise over which its density is smooth, and where almost all of it lies
    "normal": np.linspace(-14, 14, 15),
    "uniform": np.array([-math.sqrt(3), math.sqrt(3)]),
    "laplace": np.concatenate([-np.geomspace(60, 1e-9, 40), [0], np.geomspace(1e-9, 60, 40)]),
}


def log_density(law: Law, e: np.ndarray) -> np.ndarray:
    if law == "normal":
        return -0.5 * e**2 - 0.5 * math.log(2 * math.pi)
    if law == "uniform":
        return np.full_like(e, -math.log(2 * math.sqrt(3)))
    return -math.sqrt(2) * np.abs(e) - 0.5 * math.log(2)


def integrated_kl(law: Law, mean: float, std: float) -> float:
    """The integral of q log(q / p), by Gauss and Legendre over each smooth piece."""
    total = 0.0
    for low, high in itertools.pairwise(PIECES[law]):
        e = 0.5 * (high - low) * NODES + 0.5 * (high + low)
        log_q = log_density(law, e) - math.log(std)
        log_p = -0.5 * (mean + std * e) ** 2 - 0.5 * math.log(2 * math.pi)
        total += float((0.5 * (high - low) * WEIGHTS * np.exp(log_density(law, e)) * (log_q - log_p)).sum())
    return total


def posterior(mean: float, logvar: float, law: Law) -> reparam.Posterior:
    return reparam.Posterior(np.full((1, 1), mean, np.float32), np.full((1, 1), logvar, np.float32), law)


@given(st.sampled_from(LAWS), st.floats(-5, 5, width=32), st.floats(-6, 3, width=32))
def test_kl_agrees_with_numerical_integration(law: Law, mean: float, logvar: float) -> None:
    found = posterior(mean, logvar, law).kl()[0]
    wanted = integrated_kl(law, mean, math.exp(logvar / 2))
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_kl_of_the_prior_is_exactly_zero() -> None:
    zeros = np.zeros((4, 3, 2), np.float32)
    assert reparam.Posterior(zeros, zeros).kl().tolist() == [0.0] * 4


@given(st.sampled_from(LAWS), st.floats(-10, 10, width=32), st.floats(-80, 40, width=32))
def test_kl_is_never_negative(law: Law, mean: float, logvar: float) -> None:
    assert posterior(mean, logvar, law).kl()[0] >= 0


@given(st.floats(-30, -1))
def test_kl_near_the_prior_keeps_its_accuracy(exponent: float) -> None:
    logvar = np.float32(10.0**exponent)
    found = posterior(0, float(logvar), "normal").kl()[0]
    assert 0 <= found <= 0.26 * float(logvar) ** 2 + 1e-16 * float(logvar)


@pytest.mark.parametrize("law", LAWS)
def test_kl_adds_over_the_latent_dimensions_of_a_row(law: Law) -> None:
    rng = np.random.default_rng(3)
    mean, logvar = rng.standard_normal((2, 5, 2, 3)).astype(np.float32)
    found = reparam.Posterior(mean, logvar, law).kl()
    each = [posterior(m, v, law).kl()[0] for m, v in zip(mean.flat, logvar.flat, strict=True)]
    assert (found.shape, found.dtype) == ((5,), np.float64)
    np.testing.assert_allclose(found, np.reshape(each, (5, 6)).sum(axis=1), rtol=1e-13)


def test_kl_of_no_rows_is_no_numbers() -> None:
    none = np.zeros((0, 3), np.float32)
    assert reparam.Posterior(none, none).kl().shape == (0,)


def test_std_is_the_root_of_the_variance() -> None:
    logvar = np.linspace(-20, 20, 41, dtype=np.float32).reshape(41, 1)
    std = reparam.Posterior(np.zeros_like(logvar), logvar).std
    assert (std.dtype, std.shape) == (np.float32, (41, 1))
    np.testing.assert_allclose(std, np.exp(logvar.astype(np.float64) / 2), rtol=1e-6)


def test_a_posterior_cannot_be_changed() -> None:
    q = posterior(0, 0, "normal")
    with pytest.raises(AttributeError, match="immutable type"):
        q.law = "uniform"  # type: ignore[misc]


def test_a_variance_beyond_numbers_is_infinite_and_warns_of_nothing() -> None:
    q = posterior(0, 1000, "normal")
    assert q.kl().tolist() == [np.inf]
    assert q.std.tolist() == [[np.inf]]
