"""Every net that is offered, over every kind of row and layer that it takes."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reparam_train import sizes
from reparam_train.data.split import Data, Split
from reparam_train.model import VAE, VAEConfig
from reparam_train.nets.residual import Attention, GroupNorm, groups
from reparam_train.nets.upsample import upsample
from reparam_train.objectives import bound
from reparam_train.options import LIKELIHOODS, UPSAMPLES, Upsample, config_for

PLAIN = [name for name in LIKELIHOODS if name != "mixed"]  # which needs columns
NETS: dict[str, dict[str, Any]] = {
    "mlp": {"net": "mlp", "hidden": (16,)},
    "conv": {"net": "conv", "hidden": (4, 6)},
    "conv-nearest": {"net": "conv", "hidden": (4, 6), "upsample": "nearest"},
    "conv-subpixel": {"net": "conv", "hidden": (4, 6), "upsample": "subpixel"},
    "resnet": {"net": "resnet", "hidden": (8, 12)},
    "resnet-attention": {"net": "resnet", "hidden": (8, 12), "attention": True, "blocks": 2},
    "resnet-transposed": {"net": "resnet", "hidden": (8, 12), "upsample": "transposed"},
    "resnet-subpixel": {"net": "resnet", "hidden": (8,), "upsample": "subpixel"},
}
SHAPES = [(8,), (2, 12), (1, 8, 8), (3, 4, 16)]  # that every net takes
ODD = [(9,), (3, 7), (2, 9, 6), (1, 4, 4), (1, 13, 5), (2, 7, 32)]  # that resnet takes with one level alone


def make(fields: dict[str, Any], shape: tuple[int, ...] = (1, 8, 8), *, seed: int = 0, **more: Any) -> VAE:
    chosen: dict[str, Any] = {"latent": 3, "activation": "tanh", "input_shape": shape}
    return VAE.build(VAEConfig(**(chosen | fields | more)), seed=seed)


def rows_of(shape: tuple[int, ...]) -> Data:
    rows = Split(source="rows", values=np.zeros((2, *shape), np.float32), rows=np.arange(2), shape=shape)
    layout = "features" if len(shape) == 1 else "channels_first"
    return Data(name="rows", train=rows, test=rows, low=None, high=None, layout=layout)


def check_shapes(model: VAE) -> None:
    shape, latent = model.config.input_shape, model.config.latent_shape
    mean, logvar = model.encode(torch.rand(2, *shape))
    assert mean.shape == logvar.shape == (2, *latent)
    found = {name: tuple(value.shape) for name, value in model.decode(mean).items()}
    assert found == {"x_hat": (2, *shape), "x_logvar": (2, *shape)}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_decoded_row_has_exactly_the_shape_of_the_input(net: str, shape: tuple[int, ...]) -> None:
    check_shapes(make(NETS[net], shape, likelihood="gaussian", scale="per-dimension"))


@pytest.mark.parametrize("net", [name for name in NETS if not name.startswith("resnet")])
@pytest.mark.parametrize("shape", ODD)
def test_odd_sizes_come_back_exactly_from_any_depth(net: str, shape: tuple[int, ...]) -> None:
    check_shapes(make(NETS[net], shape, hidden=(4, 5, 6, 7), likelihood="gaussian", scale="per-dimension"))


@pytest.mark.parametrize(("net", "shape"), list(itertools.product(NETS, [(8,), (1, 8, 8)])))
def test_a_row_does_not_depend_on_its_batch(net: str, shape: tuple[int, ...]) -> None:
    model, x = make(NETS[net], shape).train(), torch.rand(6, *shape)
    mean = model.encode(x)[0]
    torch.testing.assert_close(mean[2:3], model.encode(x[2:3])[0])
    torch.testing.assert_close(model.decode(mean)["logits"][2:3], model.decode(mean[2:3])["logits"])


@pytest.mark.parametrize(("net", "likelihood"), list(itertools.product(NETS, PLAIN)))
def test_every_parameter_gets_a_gradient(net: str, likelihood: str) -> None:
    model = make(NETS[net], likelihood=likelihood)
    terms = bound.terms(model, torch.rand(5, 1, 8, 8), torch.randn(5, *model.config.latent_shape))
    (terms.rate + terms.distortion).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("attention", [False, True])
def test_a_resnet_has_a_spatial_latent_and_runs_with_the_same_weights_on_another_size(attention: bool) -> None:
    fields = {"net": "resnet", "hidden": (4, 8, 8), "attention": attention}
    small, large = make(fields, (1, 8, 8)), make(fields, (1, 16, 24), seed=1)
    assert (small.config.latent_shape, large.config.latent_shape) == ((3, 2, 2), (3, 4, 6))
    large.load_state_dict(small.state_dict())
    x = torch.rand(2, 1, 16, 24)
    mean, _ = large.encode(x)
    assert small.encode(x)[0].equal(mean)  # as the layers of either run on any size
    assert large.decode(mean)["x_hat"].shape == (2, 1, 16, 24)


@pytest.mark.parametrize("sides", [(5,), (3, 4)])
def test_attention_is_torch_s_behind_a_norm_and_beside_a_shortcut(sides: tuple[int, ...]) -> None:
    layer, x = Attention(8, sides=len(sides)), torch.randn(2, 8, *sides)
    parts = [part(layer.norm(x)).flatten(2).transpose(1, 2) for part in (layer.query, layer.key, layer.value)]
    found = torch.nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(layer(x), x + layer.out(found))


@given(
    kind=st.sampled_from(UPSAMPLES),
    larger=st.lists(st.integers(3, 17), min_size=1, max_size=2),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(max_examples=40, deadline=None)
def test_every_way_up_gives_back_the_size_that_was_halved(
    kind: Upsample, larger: list[int], channels: tuple[int, int]
) -> None:
    up = upsample(kind, *channels, odd=tuple(side % 2 == 1 for side in larger))
    layer = torch.nn.Sequential(*up.before, up.layer, *up.after)
    x = torch.zeros(2, channels[0], *((side + 1) // 2 for side in larger))
    assert layer(x).shape == (2, channels[1], *larger)


@pytest.mark.parametrize("sides", [(5,), (3, 4)])
@pytest.mark.parametrize("channels", [6, 16, 64, 96])
def test_group_norm_is_torch_s(channels: int, sides: tuple[int, ...]) -> None:
    layer, reference = GroupNorm(channels), torch.nn.GroupNorm(groups(channels), channels, eps=1e-6)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.uniform_()
    layer.load_state_dict(reference.state_dict())
    x = torch.rand(3, channels, *sides) * 5
    torch.testing.assert_close(layer(x), reference(x))


@pytest.mark.parametrize(
    ("shape", "net", "hidden", "latent"),
    [
        ((64,), "mlp", (200, 200), (10,)),
        ((2, 64), "conv", (32, 64, 128, 256), (10,)),
        ((2, 3), "mlp", (200, 200), (10,)),
        ((1, 8, 8), "conv", (32, 64), (10,)),
        ((1, 28, 28), "conv", (32, 64), (10,)),
        ((3, 64, 48), "conv", (32, 64, 128, 256), (10,)),
    ],
)
def test_net_and_depth_are_chosen_from_the_shape(
    shape: tuple[int, ...], net: str, hidden: tuple[int, ...], latent: tuple[int, ...]
) -> None:
    config = config_for(rows_of(shape))
    assert (config.net, config.hidden, config.latent_shape) == (net, hidden, latent)


@pytest.mark.parametrize(
    ("shape", "hidden", "latent"),
    [
        ((1, 8, 8), (32, 64), (4, 4, 4)),
        ((1, 28, 28), (32, 64, 128), (4, 7, 7)),
        ((3, 64, 128), (32, 64, 128, 256), (4, 8, 16)),
        ((1, 9, 9), (32,), (4, 9, 9)),
        ((16,), (32, 64, 128), (4, 4)),
    ],
)
def test_a_resnet_s_levels_are_chosen_from_the_size(
    shape: tuple[int, ...], hidden: tuple[int, ...], latent: tuple[int, ...]
) -> None:
    config = config_for(rows_of(shape), net="resnet")
    assert (config.hidden, config.latent_shape) == (hidden, latent)
    assert (config.activation, config.upsample) == ("silu", "nearest")


@given(st.lists(st.integers(4, 5000), min_size=1, max_size=2), st.integers(1, 4))
def test_a_chosen_depth_is_always_one_that_the_net_takes(sides: list[int], channels: int) -> None:
    for net in ("conv", "resnet"):
        hidden = sizes.hidden(net, (channels, *sides))
        VAEConfig(net=net, input_shape=(channels, *sides), latent=1, hidden=hidden)
        if net == "conv":
            assert math.ceil(max(sides) / 2 ** len(hidden)) <= 7
