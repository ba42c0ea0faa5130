import math
from typing import Any

import pytest
import torch

from reparam_train import likelihoods
from reparam_train.options import Likelihood

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


CONTINUOUS: list[tuple[Likelihood, dict[str, Any]]] = [
    *((name, {"std": std}) for name in ("gaussian", "laplace") for std in (0.3, 1.0, None)),
    ("gaussian", {"scale": "per-dimension"}),
    ("gaussian", {"scale": "optimal"}),
    ("laplace", {"scale": "per-dimension"}),
]


@pytest.mark.parametrize(("name", "more"), CONTINUOUS)
def test_a_density_integrates_to_one_with_mean_x_hat(name: Likelihood, more: dict[str, Any]) -> None:
    law = likelihoods.build(name, **more).eval()
    x = (torch.arange(80_000).reshape(-1, 1).double() + 0.5) / 1000 - 40
    raw = torch.tensor([[0.7, -0.4]], dtype=torch.float64)[:, : law.parts].expand(len(x), -1)
    density = law.log_prob(x, law.outputs(raw)).exp().detach()
    assert density.sum().item() / 1000 == pytest.approx(1, abs=1e-6)
    assert (density * x[:, 0]).sum().item() / 1000 == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
def test_std_is_the_standard_deviation_of_either_law(name: Likelihood) -> None:
    law = likelihoods.build(name, std=0.5)
    x = (torch.arange(80_000).reshape(-1, 1).double() + 0.5) / 1000 - 40
    density = law.log_prob(x, law.outputs(torch.zeros_like(x))).exp()
    assert (density * x[:, 0] ** 2).sum().item() / 1000 == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize(("name", "output"), [("gaussian", "x_logvar"), ("laplace", "x_logscale")])
def test_a_scale_per_dimension_is_an_output_within_bounds(name: Likelihood, output: str) -> None:
    law = likelihoods.build(name, scale="per-dimension")
    outputs = law.outputs(torch.tensor([[1.0, 2.0, -1e9, 1e9]]))
    assert list(outputs) == ["x_hat", output]
    assert outputs["x_hat"].tolist() == [[1.0, 2.0]]
    assert outputs[output].tolist() == [[-30.0, 20.0]]
    assert law.log_prob(torch.tensor([[100.0, -100.0]]), outputs).isfinite().all()
    assert law.constants() == {}


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e8])
def test_the_optimal_variance_scores_a_batch_as_minus_half_d_log_of_its_mean_square(unit: float) -> None:
    law = likelihoods.build("gaussian", scale="optimal").train()
    x, x_hat = unit * torch.randn(50, 4), (unit * torch.randn(50, 4)).requires_grad_()
    square = (x - x_hat).square().mean()
    found = law.log_prob(x, law.outputs(x_hat)).mean()
    torch.testing.assert_close(found, -2 * (1 + math.log(2 * math.pi) + square.log()))
    (own,) = torch.autograd.grad(found, x_hat)
    (expected,) = torch.autograd.grad(-2 * square.log(), x_hat)
    torch.testing.assert_close(own * unit, expected * unit)
    assert law.constants()["std"] == pytest.approx(square.sqrt().item(), rel=1e-4)


def test_the_optimal_variance_that_is_exported_is_the_running_mean_of_the_steps() -> None:
    law = likelihoods.build("gaussian", scale="optimal")
    assert law.eval().constants() == {"std": 1.0}
    law.train()
    x_hat = torch.zeros(2, 3)
    for value in (2.0, 4.0):
        law.log_prob(torch.full((2, 3), value), law.outputs(x_hat))
    mean_square = (0.01 * 0.99 * 4 + 0.01 * 16) / (1 - 0.99**2)
    assert law.constants()["std"] == pytest.approx(math.sqrt(mean_square), rel=1e-4)
    one = law.eval().log_prob(torch.zeros(1, 1), {"x_hat": torch.zeros(1, 1)})
    assert one.item() == pytest.approx(-math.log(2 * math.pi * mean_square) / 2, rel=1e-4)


def test_gaussian_outputs_x_hat_alone_in_the_data_s_units() -> None:
    raw = torch.randn(2, 3)
    outputs = likelihoods.build("gaussian", std=0.1).outputs(raw)
    assert list(outputs) == ["x_hat"]
    assert torch.equal(outputs["x_hat"], raw)


def test_the_best_learned_scale_of_laplace_is_the_mean_absolute_error() -> None:
    law = likelihoods.build("laplace")
    x = torch.randn(50, 4)
    (parameter,) = law.parameters()
    with torch.no_grad():
        parameter.copy_(x.abs().mean().log())
    law.log_prob(x, law.outputs(torch.zeros(50, 4))).sum().backward()
    assert parameter.grad is not None
    assert abs(parameter.grad.item()) < 1e-3
    assert law.constants()["scale"] == pytest.approx(x.abs().mean().item())


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
