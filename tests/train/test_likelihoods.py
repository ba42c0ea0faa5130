import math

import pytest
import torch

from reparam_train import likelihoods

BERNOULLI = likelihoods.build("bernoulli", std=None)


def test_bernoulli_probabilities_of_both_outcomes_sum_to_one() -> None:
    outputs = BERNOULLI.outputs(torch.linspace(-20, 20, 41).reshape(-1, 1).double())
    ones, zeros = torch.ones(41, 1).double(), torch.zeros(41, 1).double()
    total = BERNOULLI.log_prob(ones, outputs).exp() + BERNOULLI.log_prob(zeros, outputs).exp()
    torch.testing.assert_close(total, torch.ones(41).double())


def test_bernoulli_x_hat_is_the_probability_of_one() -> None:
    outputs = BERNOULLI.outputs(torch.randn(7, 2, 3))
    assert list(outputs) == ["x_hat", "logits"]
    log_p = BERNOULLI.log_prob(torch.ones(7, 2, 3), outputs)
    torch.testing.assert_close(outputs["x_hat"].log().flatten(1).sum(1), log_p)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_bernoulli_log_prob_of_extreme_logits_is_finite(logit: float) -> None:
    outputs = BERNOULLI.outputs(torch.full((1, 3), logit))
    assert BERNOULLI.log_prob(torch.full((1, 3), 0.5), outputs).item() == pytest.approx(-1.5e4)


def test_bernoulli_takes_grey_values_by_the_same_formula() -> None:
    x, logits = torch.rand(4, 5).double(), torch.randn(4, 5).double()
    expected = (x * logits - torch.log1p(logits.exp())).sum(1)
    torch.testing.assert_close(BERNOULLI.log_prob(x, BERNOULLI.outputs(logits)), expected)


@pytest.mark.parametrize("std", [0.3, 1.0, None])
def test_gaussian_density_integrates_to_one(std: float | None) -> None:
    law = likelihoods.build("gaussian", std=std)
    x = torch.linspace(-15, 15, 20_001).reshape(-1, 1).double()
    density = law.log_prob(x, law.outputs(torch.full_like(x, 0.7))).exp().detach()
    assert density.sum().item() * 30 / 20_000 == pytest.approx(1, abs=1e-6)


def test_gaussian_outputs_x_hat_alone_in_the_data_s_units() -> None:
    raw = torch.randn(2, 3)
    outputs = likelihoods.build("gaussian", std=0.1).outputs(raw)
    assert list(outputs) == ["x_hat"]
    assert torch.equal(outputs["x_hat"], raw)


def test_the_best_learned_std_is_the_root_mean_square_error() -> None:
    law = likelihoods.build("gaussian", std=None)
    x, x_hat = torch.randn(50, 4), torch.zeros(50, 4)
    (parameter,) = law.parameters()
    with torch.no_grad():
        parameter.copy_((x**2).mean().sqrt().log())
    law.log_prob(x, law.outputs(x_hat)).sum().backward()
    assert parameter.grad is not None
    assert abs(parameter.grad.item()) < 1e-3


def test_constants_are_what_scoring_needs_besides_outputs() -> None:
    assert BERNOULLI.constants() == {}
    assert likelihoods.build("gaussian", std=0.25).constants() == {"std": 0.25}
    assert likelihoods.build("gaussian", std=None).constants() == {"std": 1.0}
    assert list(likelihoods.build("gaussian", std=0.25).parameters()) == []


def test_a_fixed_std_scores_as_its_closed_form() -> None:
    law = likelihoods.build("gaussian", std=0.5)
    found = law.log_prob(torch.tensor([[1.0, 2.0]]), {"x_hat": torch.tensor([[0.5, 2.0]])})
    assert found.item() == pytest.approx(-0.5 - math.log(2 * math.pi * 0.25))
