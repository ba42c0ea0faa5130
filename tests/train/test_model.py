from typing import Any

import pytest
import torch

from reparam.errors import OptionError
from reparam_train.model import VAE, VAEConfig
from reparam_train.options import ACTIVATIONS, Activation, Likelihood, Net

HIDDEN: dict[Net, tuple[int, ...]] = {"mlp": (16,), "conv": (4, 6), "resnet": (8, 12)}


def make(net: Net = "mlp", likelihood: Likelihood = "bernoulli", *, seed: int = 0, **changes: Any) -> VAE:
    fields: dict[str, Any] = {"net": net, "input_shape": (1, 8, 8), "latent": 3, "hidden": HIDDEN[net]}
    return VAE.build(VAEConfig(likelihood=likelihood, **(fields | changes)), seed=seed)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_makes_a_model(activation: Activation) -> None:
    assert make("conv", activation=activation).encode(torch.rand(1, 1, 8, 8))[0].isfinite().all()


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
        ({"net": "vit"}, "net: must be one of mlp, conv, resnet, or package.module:function for your own, got 'vit'"),
        ({"posterior": "cauchy"}, "posterior: must be one of normal, uniform, laplace, none, got 'cauchy'"),
        ({"latent": 0}, "latent: must be at least 1, got 0"),
        ({"hidden": ()}, r"hidden: must hold one or more sizes of at least 1, got \[\]"),
        ({"input_shape": (1, 0)}, "input_shape: must hold"),
        ({"net": "conv", "input_shape": (1, 1, 8, 8)}, r"net: conv needs rows of .*, got \[1, 1, 8, 8\]; use mlp"),
        ({"net": "resnet", "input_shape": (1, 3, 8)}, r"net: resnet needs .* sides of at least 4, got \[1, 3, 8\]"),
        (
            {"net": "resnet", "hidden": (4, 4, 1), "input_shape": (1, 4, 4)},
            "normalises 2 channels or more where its map",
        ),
        ({"net": "resnet", "hidden": (4, 1, 4), "input_shape": (4,)}, r"one place, got \[4, 1, 4\]; give wider or"),
        ({"net": "resnet", "hidden": (4, 4, 4), "input_shape": (1, 8, 6)}, r"multiples of 4, got \[8, 6\]; give fewer"),
        ({"upsample": "nearest"}, "upsample: belongs to net conv or resnet, got mlp; leave upsample out"),
        ({"net": "conv", "upsample": "bilinear"}, "upsample: must be one of transposed, nearest, subpixel, got 'bil"),
        ({"net": "conv", "blocks": 2}, "blocks: belongs to net resnet, got conv; leave blocks out"),
        ({"net": "conv", "attention": True}, "attention: belongs to net resnet, got conv; leave attention out"),
        ({"net": "resnet", "blocks": 0}, "blocks: must be at least 1, got 0"),
        ({"latent_sides": (2, 2)}, r"latent_sides: .* own net's latent, got \[2, 2\] with net mlp; leave"),
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
