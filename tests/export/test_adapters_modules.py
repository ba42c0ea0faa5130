"""Anyone's pair of modules or functions becomes a bundle that agrees with it, or is refused in one line."""

import collections
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import reparam
import reparam_export
from reparam.bundle.manifest import Bernoulli, Gaussian, Laplace
from reparam.errors import ExportError, OptionError, VerificationError
from reparam_export import Modules

ROWS, IMAGES = (6,), (3, 8, 4)
Moments = collections.namedtuple("Moments", "mean std")


class Encoder(nn.Module):
    """Two linear maps of x; the second, made positive, in the form that is asked for."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.mean, self.scale, self.form = nn.Linear(6, 3), nn.Linear(6, 3), form

    def forward(self, x: Tensor) -> Any:
        return self.form(self.mean(x), functional.softplus(self.scale(x)))


class Both(nn.Module):
    """One object with encode and decode, convolutional, with dropout that only training has."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.drop = nn.Conv2d(3, 4, 4, 2, 1), nn.ConvTranspose2d(2, 3, 4, 2, 1), nn.Dropout(0.5)

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.down(self.drop(x)).chunk(2, 1)

    def decode(self, z: Tensor) -> Tensor:
        return self.up(self.drop(z))


def linear() -> nn.Linear:
    return nn.Linear(3, 6)


def functions() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Plain functions over modules, a list of modules and a bare weight."""
    nets, weight = [nn.Linear(6, 6), nn.Dropout(0.5)], torch.randn(3, 6)

    def decode(z: Tensor) -> Tensor:
        return torch.tanh(z @ weight)

    return lambda x: nets[1](nets[0](x)).chunk(2, 1), decode


def methods() -> Modules:
    both = Both()
    return Modules(encoder=both.encode, decoder=both.decode, factors=(2, 2))


def half_in_a_function() -> tuple[Callable[..., Any], nn.Module]:
    net = nn.Linear(6, 6).half()
    return lambda x: net(x).chunk(2, 1), linear()


def half() -> tuple[nn.Module, nn.Module]:
    return Encoder(lambda mean, scale: (mean, scale.log())).half(), linear().to(torch.bfloat16)


def columns_first(mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Values whose memory lies by columns, as a transposed product leaves them."""
    return mean.t().contiguous().t(), scale.log().t().contiguous().t()


# what is exported, and how a mean and a positive scale come out of it as logvar
CASES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "logvar": (lambda: (Encoder(columns_first), linear()), ROWS),
    "std": (lambda: Modules(encoder=Encoder(Moments), decoder=linear(), scale="std", likelihood=Gaussian(std=2)), ROWS),
    "variance": (
        lambda: Modules(
            encoder=Encoder(lambda mean, scale: {"mean": mean, "variance": scale}),
            decoder=linear(),
            scale="variance",
            noise="laplace",
        ),
        ROWS,
    ),
    "distribution": (
        lambda: Modules(
            encoder=Encoder(torch.distributions.Normal),
            decoder=nn.Sequential(linear(), nn.Sigmoid()),
            scale="std",
            low=0.0,
            high=1.0,
        ),
        ROWS,
    ),
    "object": (Both, IMAGES),
    "methods": (
        methods,
        IMAGES,
    ),
    "functions": (functions, ROWS),
    "half": (half, ROWS),
}
SLOW = ("variance", "object", "half", "distribution")
Made = tuple[str, Any, Path]


@pytest.fixture(scope="module", params=[pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The name of a case, its model, and the folder of its bundle."""
    torch.manual_seed(5)
    build, shape = CASES[request.param]
    model, folder = build(), tmp_path_factory.mktemp("modules") / request.param
    reparam_export.export(model, folder, input_shape=shape)
    return request.param, model, folder


def pair(model: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The two functions of a case, in eval mode and float32."""
    if isinstance(model, tuple):
        encoder, decoder = model
    elif isinstance(model, Modules):
        encoder, decoder = model.encoder, model.decoder
    else:
        encoder, decoder = model.encode, model.decode
    for part in (encoder, decoder):
        owner = part if isinstance(part, nn.Module) else getattr(part, "__self__", None)
        if owner is not None:
            owner.eval().float()
        else:
            for cell in part.__closure__ or ():
                if isinstance(cell.cell_contents, list):
                    nn.ModuleList(cell.cell_contents).eval()
    return encoder, decoder


def mean_and_logvar(found: Any) -> Mapping[str, Tensor]:
    """By arithmetic of this test's own."""
    match found:
        case Moments(mean=mean, std=std):
            return {"mean": mean, "logvar": torch.log(std**2)}
        case torch.distributions.Normal():
            return {"mean": found.loc, "logvar": torch.log(found.variance)}
        case dict():
            return {"mean": found["mean"], "logvar": torch.log(found["variance"])}
        case _:
            return dict(zip(("mean", "logvar"), found, strict=True))


def test_the_bundle_agrees_with_the_functions_at_every_batch_and_size(made: Made, agree: Any) -> None:
    name, model, folder = made
    encoder, decoder = pair(model)
    shape = CASES[name][1]
    more = [(3, 4, 10), (3, 2, 2)] if name == "methods" else []
    agree(folder, lambda x: mean_and_logvar(encoder(x)), decoder, [shape, *more])


def test_the_manifest_holds_what_was_stated(made: Made) -> None:
    name, model, folder = made
    stated = model if isinstance(model, Modules) else Modules(encoder=len, decoder=len)
    with reparam.load(folder, device="cpu") as vae:
        manifest = vae.manifest
        assert manifest.likelihood == stated.likelihood
        assert (manifest.input.low, manifest.input.high, manifest.input.factors) == (
            stated.low,
            stated.high,
            stated.factors,
        )
        assert (manifest.latent.noise, manifest.input.shape) == (stated.noise, CASES[name][1])
        assert manifest.verification[0].bound.absolute == 1e-4


def test_weights_that_functions_use_by_name_are_in_the_graph_and_nothing_random(made: Made) -> None:
    name, _, folder = made
    for role in ("encoder", "decoder"):
        graph = onnx.load(folder / f"{role}.onnx").graph
        weights = sum(math.prod(tensor.dims) for tensor in graph.initializer)
        assert weights >= {"object": 96, "methods": 96}.get(name, 18)
        assert not {"Dropout", "RandomNormalLike"} & {node.op_type for node in graph.node}


def test_the_modules_come_back_with_mode_hooks_dtype_and_weights_as_they_were(tmp_path: Path) -> None:
    both = Both().double()
    both.up.eval()
    both.down.register_forward_hook(lambda *_: None)
    before = {name: value.clone() for name, value in both.state_dict().items()}
    looks = [(part.training, dict(part._forward_hooks), sorted(vars(part))) for part in both.modules()]
    drawn = torch.random.get_rng_state()
    reparam_export.export(both, tmp_path / "bundle", input_shape=IMAGES)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert looks == [(part.training, dict(part._forward_hooks), sorted(vars(part))) for part in both.modules()]
    assert all(torch.equal(value, before[name]) for name, value in both.state_dict().items())
    assert {value.dtype for value in both.state_dict().values()} == {torch.float64}


def test_a_plain_autoencoder_is_deterministic(tmp_path: Path) -> None:
    encoder, decoder = nn.Linear(6, 3), linear()
    model = Modules(encoder=encoder, decoder=lambda z: {"sample": decoder(z)}, deterministic=True)
    assert reparam_export.export(model, tmp_path / "bundle", input_shape=ROWS).deterministic
    x = reparam.noise("normal", 1, range(3), ROWS)
    with reparam.load(tmp_path / "bundle", device="cpu") as vae, torch.no_grad():
        np.testing.assert_allclose(vae.sample(x), encoder(torch.from_numpy(x)).numpy(), rtol=1e-5, atol=1e-5)


def test_of_bernoulli_logits_alone_x_hat_is_the_sigmoid_and_the_elbo_can_be_had(tmp_path: Path) -> None:
    decoder = linear()
    encoder = Encoder(lambda mean, scale: (mean, scale))
    named = Modules(
        encoder=encoder, decoder=lambda z: {"logits": decoder(z)}, likelihood=Bernoulli(), low=0.0, high=1.0
    )
    reparam_export.export(named, tmp_path / "bundle", input_shape=ROWS)
    with reparam.load(tmp_path / "bundle", device="cpu") as vae, torch.no_grad():
        z = reparam.noise("normal", 1, range(4), (3,))
        wanted = torch.sigmoid(decoder(torch.from_numpy(z)))
        np.testing.assert_allclose(vae.decode(z), wanted.numpy(), rtol=1e-5, atol=1e-5)
        assert np.isfinite(vae.elbo(wanted.numpy().round(), seed=1)).all()


@pytest.mark.slow
def test_a_scale_of_zero_gives_a_finite_logvar(tmp_path: Path) -> None:
    model = Modules(encoder=Encoder(lambda mean, scale: (mean, scale * 0)), decoder=linear(), scale="std")
    reparam_export.export(model, tmp_path / "bundle", input_shape=ROWS)
    with reparam.load(tmp_path / "bundle", device="cpu") as vae:
        assert (vae.encode(reparam.noise("normal", 1, range(3), ROWS)).logvar == -30).all()


def test_an_epsilon_below_the_optimisers_tolerance_stays_in_the_graph(tmp_path: Path) -> None:
    def normal(mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        positive = mean.relu() * 0  # a division that the epsilon alone keeps finite
        return mean * 1.000005, positive / (positive.sum(1, keepdim=True) + 1e-15) + scale

    reparam_export.export((Encoder(normal), linear()), tmp_path / "bundle", input_shape=ROWS)
    constants = {
        float(onnx.numpy_helper.to_array(tensor).item())
        for tensor in onnx.load(tmp_path / "bundle" / "encoder.onnx").graph.initializer
        if math.prod(tensor.dims) == 1
    }
    assert {np.float32(1e-15), np.float32(1.000005)} <= constants


class Drawing(nn.Module):
    """A layer that draws in eval mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def given(form: Callable[[Tensor, Tensor], Any]) -> tuple[nn.Module, nn.Module]:
    return Encoder(form), linear()


HOSTILE: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "draws": (lambda: given(lambda m, s: (Drawing()(m), s)), ExportError, "encoder: .*it draws random numbers"),
    "decoder draws": (
        lambda: (given(lambda m, s: (m, s))[0], nn.Sequential(linear(), Drawing())),
        ExportError,
        "decoder: .*it draws random numbers",
    ),
    "nan": (lambda: given(lambda m, s: (m / 0 * 0, s)), VerificationError, "encoder: gives a value that is not finite"),
    "negative std": (
        lambda: Modules(encoder=Encoder(lambda m, s: (m, -s)), decoder=linear(), scale="std"),
        VerificationError,
        "encoder: gives a value that is not finite",
    ),
    "fixed batch": (
        lambda: given(lambda m, s: (m[:1] * 0 + torch.zeros(3, 3), s)),
        ExportError,
        "encoder: ignores its batch axis: 3 rows and 1 row gave",
    ),
    "one row": (lambda: given(lambda m, s: (m[0], s[0])), ExportError, "encoder: ignores its batch axis"),
    "mixes rows": (lambda: given(lambda m, s: (m - m.mean(0), s)), ExportError, "must depend on that row alone"),
    "two shapes": (lambda: given(lambda m, s: (m, s[:, :2])), ExportError, "must have one shape"),
    "other x_hat": (
        lambda: (given(lambda m, s: (m, s))[0], nn.Linear(3, 5)),
        ExportError,
        r"x_hat must have the shape of x, \[3, 6\], got \[3, 5\]",
    ),
    "float64": (
        lambda: given(lambda m, s: (m.double(), s.double())),
        ExportError,
        "must give float32, got torch.float",
    ),
    "arrays": (lambda: given(lambda m, s: (m.numpy(), s)), ExportError, "mean must be a torch tensor, got a ndarray"),
    "three values": (lambda: given(lambda m, s: (m, m, s)), ExportError, r"must give \(mean, logvar\), got 3 values"),
    "one tensor": (lambda: given(lambda m, _: m), ExportError, r"must give \(mean, logvar\), got a Tensor"),
    "another form": (lambda: given(torch.distributions.Normal), ExportError, r"state its form .*scale='std'"),
    "no logits": (
        lambda: Modules(encoder=given(lambda m, s: (m, s))[0], decoder=linear(), likelihood=Bernoulli()),
        ExportError,
        "decoder: must give x_hat and logits for a Bernoulli likelihood, got a Tensor",
    ),
    "raises": (
        lambda: given(lambda m, _: m @ m.new_zeros(7, 7)),
        ExportError,
        "encoder: fails for rows of shape .*RuntimeError",
    ),
    "branches": (
        lambda: given(lambda m, s: (m, s) if bool((s > -1).all()) else (s, m)),
        ExportError,
        "torch cannot trace the model",
    ),
    "no values": (
        lambda: (Encoder(Moments).to("meta"), linear()),
        ExportError,
        "on the device meta and have no values",
    ),
    "unknown form": (
        lambda: Modules(encoder=len, decoder=len, scale="precision"),  # type: ignore[arg-type]
        OptionError,
        "scale: must be one of logvar, std, variance",
    ),
    "half a range": (lambda: Modules(encoder=len, decoder=len, low=0.0), OptionError, "low, high: give both"),
    "endless range": (lambda: Modules(encoder=len, decoder=len, low=-math.inf, high=0.0), OptionError, "low, high: .*"),
    "words for a range": (
        lambda: Modules(encoder=len, decoder=len, low="a", high="b"),  # type: ignore[arg-type]
        OptionError,
        "low, high: give both, finite numbers",
    ),
    "negative deviation": (
        lambda: Modules(encoder=len, decoder=len, likelihood=Gaussian(std=-1.0)),
        OptionError,
        "likelihood: .* > 0",
    ),
    "deviation of nan": (
        lambda: Modules(encoder=len, decoder=len, likelihood=Gaussian(std=math.nan)),
        OptionError,
        "likelihood: .* > 0",
    ),
    "endless scale": (
        lambda: Modules(encoder=len, decoder=len, likelihood=Laplace(scale=math.inf)),
        OptionError,
        "likelihood: its scale must be finite",
    ),
    "likelihood by name": (
        lambda: Modules(encoder=len, decoder=len, likelihood="gaussian"),  # type: ignore[arg-type]
        OptionError,
        "likelihood: must be one of",
    ),
    "factors": (
        lambda: Modules(encoder=nn.Flatten(), decoder=nn.Flatten(), factors=(2, 2), deterministic=True),
        OptionError,
        "factors: x must have",
    ),
    "half in a function": (
        half_in_a_function,
        ExportError,
        "encoder: a function must use modules in float32 on the CPU",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_exported_is_refused_in_one_line_and_the_old_bundle_stays(
    case: str, refused: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    build, error, line = HOSTILE[case]
    found = refused(build(), error, input_shape=ROWS)
    assert re.search(line, found), found
    assert capfd.readouterr() == ("", "")  # nor does the tracer print its graph


def test_a_pair_without_a_shape_is_asked_for_it(refused: Any) -> None:
    assert "give that of one row, without the batch" in refused(given(lambda m, s: (m, s)), OptionError)
