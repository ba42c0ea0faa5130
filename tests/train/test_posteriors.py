import math

import numpy as np
import pytest
import torch

from reparam_train import posteriors


def test_kl_of_the_prior_is_zero() -> None:
    assert posteriors.kl(torch.zeros(4, 3), torch.zeros(4, 3)).tolist() == [0.0] * 4


@pytest.mark.parametrize(("mean", "logvar"), [(0.0, 0.0), (1.5, -2.0), (-0.3, 1.2), (4.0, -8.0)])
def test_kl_agrees_with_quadrature(mean: float, logvar: float) -> None:
    std = math.exp(logvar / 2)
    z = np.linspace(mean - 12 * std, mean + 12 * std, 20_001)
    log_q = -0.5 * (((z - mean) / std) ** 2 + logvar + math.log(2 * math.pi))
    log_p = -0.5 * (z**2 + math.log(2 * math.pi))
    expected = np.sum(np.exp(log_q) * (log_q - log_p)) * (z[1] - z[0])
    double = torch.float64
    found = posteriors.kl(torch.tensor([[mean]], dtype=double), torch.tensor([[logvar]], dtype=double))
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_kl_sums_over_the_latent_and_not_over_rows() -> None:
    mean, logvar = torch.randn(5, 4), torch.randn(5, 4)
    parts = torch.stack([posteriors.kl(mean[:, i : i + 1], logvar[:, i : i + 1]) for i in range(4)])
    torch.testing.assert_close(posteriors.kl(mean, logvar), parts.sum(0))


def test_kl_keeps_its_digits_near_the_prior() -> None:
    logvar = torch.tensor([[1e-3]])
    assert posteriors.kl(torch.zeros(1, 1), logvar).item() == pytest.approx(1e-6 / 4, rel=1e-3)


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
