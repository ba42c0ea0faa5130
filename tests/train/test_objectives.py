import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reparam.errors import OptionError
from reparam.laws import LAWS, Law
from reparam_train import posteriors
from reparam_train.data import Data
from reparam_train.evaluate import distortion, elbo
from reparam_train.keyed import training_noise, training_rows
from reparam_train.loop import fit
from reparam_train.model import VAE
from reparam_train.objectives import Objective, bound, build, describe, iwae, moments
from reparam_train.options import OBJECTIVES, Options, Posterior, VAEConfig, config_for

X = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))


def model_with(posterior: Posterior = "normal") -> VAE:
    return VAE.build(VAEConfig(net="mlp", input_shape=(5,), latent=2, hidden=(8,), posterior=posterior), seed=3)


def eps_of(draws: int, law: Law = "normal", rows: int = 6) -> torch.Tensor:
    noise = training_noise(
        1, rows=training_rows(step=0, batch_size=rows, places=range(rows)), shape=(2,), law=law, draws=draws
    )
    return torch.from_numpy(noise)


def make(model: VAE, **changes: Any) -> Objective:
    return build(model, Options(**changes), steps_per_epoch=10)


def loss(objective: Objective, eps: torch.Tensor, step: int = 0) -> float:
    return float(objective(X, eps, torch.tensor(objective.weight(step))).item())


@pytest.mark.parametrize("law", LAWS)
def test_with_beta_one_the_loss_is_the_mean_of_rate_plus_distortion(law: Law) -> None:
    model, eps = model_with(law), eps_of(1, law)
    terms = bound.terms(model, X, eps[0])
    assert terms.rate.shape == terms.distortion.shape == (6,)
    assert loss(make(model), eps) == pytest.approx((terms.rate + terms.distortion).mean().item(), rel=1e-6)


def test_beta_weighs_the_rate_and_nothing_else() -> None:
    model, eps = model_with(), eps_of(1)
    rate, distortion = (term.mean().item() for term in bound.terms(model, X, eps[0]))
    assert loss(make(model, beta=4.0), eps) == pytest.approx(4 * rate + distortion, rel=1e-6)


def test_the_warm_up_rises_linearly_from_zero_to_beta_over_its_epochs() -> None:
    objective = make(model_with(), beta=2.0, warmup=3.0)
    assert [objective.weight(step) for step in (0, 15, 30, 1000)] == [0.0, 1.0, 2.0, 2.0]
    assert make(model_with(), beta=2.0).weight(0) == 2.0


def test_free_bits_are_a_floor_under_each_dimension_s_mean_kl() -> None:
    model, eps = model_with(), eps_of(1)
    each = posteriors.kl_each(*model.encode(X)).mean(0).detach()
    free = float(each.mean())  # one dimension below it, one above
    distortion = bound.terms(model, X, eps[0]).distortion.mean()
    expected = sum(max(free, float(value)) for value in each) + distortion.item()
    assert min(each) < free < max(each)
    assert loss(make(model, free_bits=free), eps) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("law", LAWS)
def test_the_weights_of_one_sample_average_to_the_elbo(law: Law) -> None:
    model, eps = model_with(law), eps_of(20_000, law)
    with torch.no_grad():
        sampled = iwae.log_weights(model, X, eps).mean(0)  # [batch]
        terms = [bound.terms(model, X, one) for one in eps[:2000]]
    expected = -torch.stack([term.rate + term.distortion for term in terms]).mean(0)
    torch.testing.assert_close(sampled, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("law", LAWS)
def test_the_importance_weighted_bound_is_at_least_the_elbo_and_grows_with_k(law: Law) -> None:
    model = model_with(law)
    with torch.no_grad():
        weights = iwae.log_weights(model, X, eps_of(4096, law))  # [draws, batch]
    bounds = []
    for k in (1, 4, 16, 64):
        groups = weights.view(-1, k, 6).logsumexp(1) - np.log(k)  # [draws / k, batch]
        bounds.append(groups.mean().item())
    assert bounds == sorted(bounds)
    assert bounds[1] > bounds[0]


def test_the_iwae_loss_is_minus_the_bound_with_its_samples() -> None:
    model, eps = model_with(), eps_of(5)
    expected = -(iwae.log_weights(model, X, eps).exp().mean(0).log()).mean()
    objective = make(model, objective="iwae", samples=5)
    assert objective.draws == 5
    assert loss(objective, eps) == pytest.approx(expected.item(), rel=1e-5)


def test_the_penalty_on_moments_is_its_formula_and_zero_at_the_prior() -> None:
    mean, logvar = torch.randn(4, 3), torch.randn(4, 3)
    expected = (0.3 * mean**2 + 0.7 * ((logvar / 2).exp() - 1) ** 2).sum(1)
    torch.testing.assert_close(moments.penalty(mean, logvar, alpha=0.3, beta=0.7), expected)
    assert moments.penalty(torch.zeros(1, 3), torch.zeros(1, 3), alpha=0.3, beta=0.7).item() == 0


def test_near_the_prior_the_default_penalty_is_the_kl() -> None:
    mean, logvar = torch.full((1, 1), 0.01, dtype=torch.float64), torch.full((1, 1), 0.02, dtype=torch.float64)
    defaults = Options()
    found = moments.penalty(mean, logvar, alpha=defaults.mean_penalty, beta=defaults.std_penalty)
    assert found.item() == pytest.approx(posteriors.kl(mean, logvar).item(), rel=0.01)


def test_the_plain_autoencoder_s_loss_is_its_distortion() -> None:
    model = model_with("none")
    objective = make(model, objective="autoencoder")
    expected = -model.log_prob(X, model.decode(model.code(X))).mean()
    assert objective.draws == 0
    assert loss(objective, torch.empty(0, 6, 2)) == pytest.approx(expected.item())


@pytest.mark.parametrize(("objective", "law"), list(itertools.product(OBJECTIVES, LAWS)))
def test_every_parameter_gets_a_gradient(objective: Any, law: Law) -> None:
    model = model_with("none" if objective == "autoencoder" else law)
    made = make(model, objective=objective)
    made(X, eps_of(max(made.draws, 1), law), torch.tensor(1.0)).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_validation_reports_the_plain_elbo_whatever_was_trained(tmp_path: Path, digits: Data, objective: Any) -> None:
    more = {"beta": 5.0, "free_bits": 0.5, "warmup": 1.0} if objective == "elbo" else {}
    plain = objective == "autoencoder"
    config = config_for(digits, net="mlp", hidden=(8,), latent=2, posterior="none" if plain else "normal")
    options = Options(epochs=1, limit=100, objective=objective, device="cpu", seed=5, **more)
    result = fit(digits, config, options, out=tmp_path / "run")
    from reparam_train.checkpoint import read_run

    run, test = read_run(tmp_path / "run"), digits.head(100).test
    assert run.metrics == result.metrics
    if plain:
        loss = result.metrics["train_loss"]
        distorted = distortion(run.model, test)
        assert result.metrics == {"epoch": 1, "step": 2, "train_loss": loss, "test_distortion": distorted}
        with pytest.raises(OptionError, match="a plain autoencoder has none, so there is neither noise nor rate nor"):
            elbo(run.model, test, seed=5)
    else:
        assert result.metrics["test_elbo"] == elbo(run.model, test, seed=5).elbo


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "gan"}, "objective: must be one of elbo, iwae, moments, autoencoder, got 'gan'"),
        ({"beta": -1.0}, "beta: must be a finite number of at least 0, got -1.0"),
        ({"objective": "iwae", "beta": 2.0}, "beta: belongs to objective elbo, got iwae; leave beta out"),
        ({"samples": 5}, "samples: belongs to objective iwae, got elbo"),
        ({"objective": "iwae", "samples": 0}, "samples: must be at least 1, got 0"),
        ({"std_penalty": 2.0}, "std_penalty: belongs to objective moments, got elbo"),
    ],
)
def test_options_of_another_objective_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Options(**changes)


@pytest.mark.parametrize(("objective", "posterior"), [("elbo", "none"), ("autoencoder", "normal")])
def test_an_objective_and_a_posterior_that_do_not_fit_are_refused(
    tmp_path: Path, digits: Data, objective: Any, posterior: Any
) -> None:
    with pytest.raises(OptionError, match="objective: autoencoder goes with posterior none"):
        fit(digits, config_for(digits, posterior=posterior), Options(objective=objective), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_words_for_an_objective_hold_every_number_that_changes_it() -> None:
    assert describe(Options()) == "negative ELBO with closed-form KL"
    told = describe(Options(beta=4.0, warmup=10.0, free_bits=0.1))
    assert told.endswith("beta 4, linear warm-up over 10 epochs, 0.1 free nats a latent dimension")
    assert describe(Options(objective="iwae", samples=50)) == "importance-weighted bound with 50 samples"
    assert "0.5 |mean|^2 + 1 |std - 1|^2" in describe(Options(objective="moments"))
