import itertools
from typing import Any

import pytest
import torch

from reparam.errors import OptionError
from reparam_train.model import VAE, VAEConfig
from reparam_train.objectives import bound
from reparam_train.options import ACTIVATIONS, LIKELIHOODS, NETS, Activation, Likelihood, Net

PLAIN: list[Likelihood] = [name for name in LIKELIHOODS if name != "mixed"]  # which needs columns
HIDDEN: dict[Net, tuple[int, ...]] = {"mlp": (16,), "conv": (4, 6)}


def make(net: Net = "mlp", likelihood: Likelihood = "bernoulli", *, seed: int = 0, **changes: Any) -> VAE:
    fields: dict[str, Any] = {"net": net, "input_shape": (1, 8, 8), "latent": 3, "hidden": HIDDEN[net]}
    return VAE.build(VAEConfig(likelihood=likelihood, **(fields | changes)), seed=seed)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (2, 9, 6), (1, 4, 4), (1, 13, 5), (2, 7, 32)])
def test_a_decoded_row_has_exactly_the_shape_of_the_input(net: Net, shape: tuple[int, ...]) -> None:
    model = make(net, input_shape=shape, hidden=(4, 5, 6, 7))
    mean, logvar = model.encode(torch.rand(2, *shape))
    assert mean.shape == logvar.shape == (2, 3)
    assert {name: tuple(value.shape) for name, value in model.decode(mean).items()} == {
        "x_hat": (2, *shape),
        "logits": (2, *shape),
    }


@pytest.mark.parametrize(("net", "likelihood"), list(itertools.product(NETS, PLAIN)))
def test_every_parameter_gets_a_gradient(net: Net, likelihood: Likelihood) -> None:
    model = make(net, likelihood, activation="tanh")
    terms = bound.terms(model, torch.rand(5, 1, 8, 8), torch.randn(5, 3))
    (terms.rate + terms.distortion).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_makes_a_model(activation: Activation) -> None:
    assert make("conv", activation=activation).encode(torch.rand(1, 1, 8, 8))[0].isfinite().all()


@pytest.mark.parametrize("net", NETS)
def test_a_row_does_not_depend_on_its_batch(net: Net) -> None:
    model, x = make(net).train(), torch.rand(6, 1, 8, 8)
    torch.testing.assert_close(model.encode(x)[0][2:3], model.encode(x[2:3])[0])


def test_the_weights_are_a_function_of_the_seed_and_leave_torch_s_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (make(seed=seed).state_dict() for seed in (2**64 - 1, 2**64 - 1, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["mean.weight"], other["mean.weight"])


def test_logvar_stays_in_its_bounds_for_absurd_rows() -> None:
    _, logvar = make().encode(torch.full((1, 1, 8, 8), 1e12))
    assert -30 <= logvar.min() <= logvar.max() <= 20


def test_a_plain_autoencoder_has_a_code_and_no_posterior() -> None:
    model = make(posterior="none")
    assert model.code(torch.rand(2, 1, 8, 8)).shape == (2, 3)
    assert not [name for name, _ in model.named_parameters() if "logvar" in name]
    with pytest.raises(OptionError, match=r"encode: a plain autoencoder has no posterior; call code\(x\) for its z"):
        model.encode(torch.rand(2, 1, 8, 8))


def test_likelihood_constants_are_those_of_the_law() -> None:
    assert make(likelihood="gaussian", std=0.5).likelihood_constants() == {"std": 0.5}
    assert make().likelihood_constants() == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": "vit"}, "net: must be one of mlp, conv, got 'vit'"),
        ({"posterior": "cauchy"}, "posterior: must be one of normal, uniform, laplace, none, got 'cauchy'"),
        ({"latent": 0}, "latent: must be at least 1, got 0"),
        ({"hidden": ()}, r"hidden: must hold one or more sizes of at least 1, got \[\]"),
        ({"input_shape": (1, 0)}, "input_shape: must hold"),
        ({"net": "conv", "input_shape": (64,)}, r"net: conv needs rows of shape .*, got \[64\]; use mlp"),
        ({"net": "conv", "input_shape": (1, 3, 8)}, "both sides at least 4"),
        ({"std": 0.1}, "std: belongs to likelihood gaussian or laplace, got bernoulli"),
        ({"scale": "optimal"}, "scale: belongs to likelihood gaussian or laplace, got bernoulli"),
        ({"likelihood": "laplace", "scale": "optimal"}, "scale: optimal belongs to likelihood gaussian, got laplace"),
        ({"likelihood": "gaussian", "scale": "optimal", "std": 0.1}, "scale: std fixes one for all dimensions"),
        ({"scale": "free"}, "scale: must be one of shared, per-dimension, optimal, got 'free'"),
        ({"likelihood": "gaussian", "std": 0.0}, "std: must be a finite number above 0, got 0.0"),
        ({"likelihood": "gaussian", "std": float("nan")}, "std: must be a finite number above 0, got nan"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused_when_made(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"net": "mlp", "input_shape": (1, 8, 8), "latent": 3, "hidden": (16,)}
    with pytest.raises(OptionError, match=message):
        VAEConfig(**(fields | changes))
