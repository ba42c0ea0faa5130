import math

import numpy as np
import pytest
import torch

from reparam.laws import LAWS, Law
from reparam.posterior import Posterior
from reparam_train import posteriors

HALF_WIDTH = math.sqrt(3)


def log_density(law: Law, eps: np.ndarray) -> np.ndarray:
    """Of the standardised laws, from their textbook densities."""
    if law == "normal":
        return -0.5 * (eps**2 + math.log(2 * math.pi))
    if law == "uniform":
        return np.full_like(eps, -math.log(2 * HALF_WIDTH))
    return -math.sqrt(2) * np.abs(eps) - math.log(math.sqrt(2))


def test_kl_of_the_prior_is_zero() -> None:
    assert posteriors.kl(torch.zeros(4, 3), torch.zeros(4, 3)).tolist() == [0.0] * 4


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("mean", "logvar"), [(0.0, 0.0), (1.5, -2.0), (-0.3, 1.2), (4.0, -8.0)])
def test_kl_agrees_with_quadrature(law: Law, mean: float, logvar: float) -> None:
    reach, cells = HALF_WIDTH if law == "uniform" else 30.0, 200_000
    eps = (np.arange(cells) + 0.5) / cells * 2 * reach - reach  # the midpoint rule
    log_q = log_density(law, eps) - logvar / 2
    z = mean + math.exp(logvar / 2) * eps
    log_p = -0.5 * (z**2 + math.log(2 * math.pi))
    expected = np.sum(np.exp(log_density(law, eps)) * (log_q - log_p)) * 2 * reach / cells
    double = torch.float64
    found = posteriors.kl(torch.tensor([[mean]], dtype=double), torch.tensor([[logvar]], dtype=double), law)
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("law", LAWS)
def test_kl_is_the_runtime_s_and_its_formula(law: Law) -> None:
    mean, logvar = torch.randn(6, 4), torch.randn(6, 4)
    found = posteriors.kl(mean, logvar, law)
    np.testing.assert_allclose(found, Posterior(mean.numpy(), logvar.numpy(), law).kl(), rtol=1e-5)
    std, half_square = (logvar / 2).exp(), (mean**2 + logvar.exp()) / 2
    own = {
        "normal": -std.log() - 0.5 + half_square,
        "uniform": -(2 * math.sqrt(3) * std).log() + math.log(2 * math.pi) / 2 + half_square,
        "laplace": -(math.sqrt(2) * std).log() - 1 + math.log(2 * math.pi) / 2 + half_square,
    }
    torch.testing.assert_close(found, own[law].sum(1))


@pytest.mark.parametrize("law", LAWS)
def test_no_kl_is_below_that_of_the_normal_law(law: Law) -> None:
    mean, logvar = torch.randn(50, 1), torch.randn(50, 1)
    assert (posteriors.kl(mean, logvar, law) >= posteriors.kl(mean, logvar)).all()


def test_kl_sums_over_the_latent_and_not_over_rows() -> None:
    mean, logvar = torch.randn(5, 4), torch.randn(5, 4)
    parts = torch.stack([posteriors.kl(mean[:, i : i + 1], logvar[:, i : i + 1]) for i in range(4)])
    torch.testing.assert_close(posteriors.kl(mean, logvar), parts.sum(0))


def test_kl_keeps_its_digits_near_the_prior() -> None:
    logvar = torch.tensor([[1e-3]])
    assert posteriors.kl(torch.zeros(1, 1), logvar).item() == pytest.approx(1e-6 / 4, rel=1e-3)


@pytest.mark.parametrize("law", LAWS)
def test_the_density_of_a_sample_is_that_of_its_noise_over_the_scale(law: Law) -> None:
    eps, logvar = torch.rand(7, 5, 3).double() * 2 - 1, torch.randn(5, 3).double()
    expected = (log_density(law, eps.numpy()) - logvar.numpy() / 2).sum(-1)
    np.testing.assert_allclose(posteriors.log_density(eps, logvar, law), expected)


def test_the_density_of_the_prior_is_the_standard_normal_s() -> None:
    z = torch.randn(7, 5, 3).double()
    np.testing.assert_allclose(posteriors.log_prior(z), log_density("normal", z.numpy()).sum(-1))


@pytest.mark.parametrize("law", LAWS)
def test_every_sum_over_the_latent_takes_all_axes_of_a_spatial_one(law: Law) -> None:
    eps, mean, logvar = torch.randn(7, 5, 2, 3, 4), torch.randn(5, 2, 3, 4), torch.randn(5, 2, 3, 4)
    flat_eps, flat_mean, flat_logvar = eps.flatten(2), mean.flatten(1), logvar.flatten(1)
    density = posteriors.log_density(eps, logvar, law)
    assert density.shape == (7, 5)
    torch.testing.assert_close(density, posteriors.log_density(flat_eps, flat_logvar, law))
    torch.testing.assert_close(posteriors.log_prior(eps, axes=3), posteriors.log_prior(flat_eps))
    torch.testing.assert_close(posteriors.kl(mean, logvar, law), posteriors.kl(flat_mean, flat_logvar, law))


def test_zero_noise_gives_the_mean() -> None:
    mean, logvar = torch.randn(6, 2), torch.randn(6, 2)
    assert torch.equal(posteriors.sample(mean, logvar, torch.zeros(6, 2)), mean)


def test_samples_have_the_posterior_s_mean_and_variance() -> None:
    eps = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    z = posteriors.sample(torch.tensor([[2.0]]), torch.tensor([[math.log(9.0)]]), eps)
    assert z.mean().item() == pytest.approx(2, abs=0.03)
    assert z.var().item() == pytest.approx(9, rel=0.02)


def test_logvar_is_kept_where_its_exponential_is_finite() -> None:
    low, high = posteriors.LOGVAR_BOUNDS
    assert posteriors.bounded(torch.tensor([-1e9, 0.5, 1e9])).tolist() == [low, 0.5, high]
