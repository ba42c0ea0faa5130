"""Smaller precisions: made from fp32, held against the source, measured, and left out where they do not pay."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

import reparam
import reparam_export
from reparam.bundle.manifest import Manifest
from reparam.engine.instructions import NO_INT8, has_int8
from reparam.errors import DeviceUnavailable, InputError, OptionError, VerificationError
from reparam_export.precision import variants
from reparam_export.precision.int8 import quantize
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

Array = npt.NDArray[Any]

CONFIGS = {
    "mlp-tanh": VAEConfig(net="mlp", input_shape=(24,), latent=3, hidden=(16, 8), activation="tanh"),
    "mlp-relu": VAEConfig(net="mlp", input_shape=(2, 5), latent=4, hidden=(16,), likelihood="gaussian", std=0.3),
    "conv-relu": VAEConfig(net="conv", input_shape=(3, 16, 16), latent=5, hidden=(16, 32)),
    "conv-silu": VAEConfig(net="conv", input_shape=(1, 9, 10), latent=2, hidden=(4, 8), activation="silu"),
    "conv-subpixel": VAEConfig(net="conv", input_shape=(3, 12, 10), latent=2, hidden=(8, 8), upsample="subpixel"),
    "conv-nearest": VAEConfig(net="conv", input_shape=(1, 8, 8), latent=2, hidden=(8,), upsample="nearest"),
    "plain": VAEConfig(net="mlp", input_shape=(12,), latent=3, hidden=(8,), posterior="none"),
}
ALL = ("fp32", "fp16", "int8") if has_int8() else ("fp32", "fp16")
integers = pytest.mark.skipif(not has_int8(), reason=NO_INT8)


def data(config: VAEConfig, rows: int = 48) -> Array:
    """Rows of x between 0 and 1."""
    return np.random.default_rng(3).random((rows, *config.input_shape), np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[VAE, Path, Manifest]]:
    """Each model in every precision."""
    made: dict[str, tuple[VAE, Path, Manifest]] = {}
    for name, config in CONFIGS.items():
        model, folder = VAE.build(config, seed=7), tmp_path_factory.mktemp("variants") / name
        manifest = reparam_export.export(model, folder, precision=ALL, calibrate=data(config), keep_slower=True)
        made[name] = model, folder, manifest
    return made


@pytest.fixture(params=list(CONFIGS))
def bundle(
    request: pytest.FixtureRequest, exported: dict[str, tuple[VAE, Path, Manifest]]
) -> tuple[VAE, Path, Manifest]:
    """Each of them."""
    return exported[request.param]


def graph_of(folder: Path, file: str) -> onnx.ModelProto:
    return onnx.ModelProto.FromString((folder / file).read_bytes())


def fused(folder: Path, file: str, tmp_path: Path) -> list[str]:
    """What onnxruntime really runs, once it has fused the graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in graph_of(tmp_path, "fused.onnx").graph.node]


def test_every_precision_is_verified_and_verify_repeats_it(bundle: tuple[VAE, Path, Manifest]) -> None:
    _, folder, manifest = bundle
    assert manifest.precisions == ALL
    assert [done.precision for done in manifest.verification] == list(ALL)
    assert all(done.batches == (1, 3, 5) for done in manifest.verification)
    again = reparam.verify(folder, device="cpu")
    assert [done.precision for done in again] == list(ALL)
    assert [done.bound for done in again] == [done.bound for done in manifest.verification]


def test_every_precision_runs_by_its_name_near_fp32(bundle: tuple[VAE, Path, Manifest]) -> None:
    model, folder, manifest = bundle
    x = data(model.config, 5)
    seed = None if manifest.deterministic else 3
    with reparam.load(folder, device="cpu") as vae:
        wanted = vae.reconstruct(x, seed=seed)
    shares = {"fp16": 0.01, "int8": 0.2}
    for precision in ALL[1:]:
        with reparam.load(folder, device="cpu", precision=precision) as vae:
            found = vae.reconstruct(x, seed=seed)
        assert 0 < np.abs(found - wanted).max() <= shares[precision] * np.abs(wanted).max() + 1e-3


def test_the_id_and_the_fp32_graphs_are_those_of_an_export_in_fp32_alone(
    exported: dict[str, tuple[VAE, Path, Manifest]], tmp_path: Path
) -> None:
    model, folder, manifest = exported["conv-relu"]
    alone = reparam_export.export(model, tmp_path / "alone")
    assert alone.id == manifest.id
    assert alone.variants == ()
    for file in ("encoder.onnx", "decoder.onnx", "golden.npz"):
        assert (tmp_path / "alone" / file).read_bytes() == (folder / file).read_bytes()


def test_two_exports_write_the_same_graphs(exported: dict[str, tuple[VAE, Path, Manifest]], tmp_path: Path) -> None:
    model, folder, manifest = exported["conv-silu"]
    again = reparam_export.export(
        model, tmp_path / "again", precision=ALL, calibrate=data(model.config), keep_slower=True
    )
    assert again.graphs == manifest.graphs
    for each in again.graphs:
        assert (tmp_path / "again" / each.file).read_bytes() == (folder / each.file).read_bytes()


def test_variants_are_smaller_files(exported: dict[str, tuple[VAE, Path, Manifest]]) -> None:
    _, _, manifest = exported["conv-relu"]
    size = {each.file: each.bytes for each in manifest.graphs}
    smaller = {"fp16": ("encoder", "decoder"), "int8": ("encoder",)}
    for precision in ALL[1:]:
        for role in smaller[precision]:
            assert size[f"{role}.{precision}.onnx"] < 0.75 * size[f"{role}.onnx"]


@integers
def test_z_of_int8_is_the_reparameterisation_of_its_own_moments(bundle: tuple[VAE, Path, Manifest]) -> None:
    model, folder, manifest = bundle
    if manifest.deterministic:
        pytest.skip("a plain autoencoder has no moments")
    x = data(model.config, 4)
    eps = np.random.default_rng(1).normal(size=(4, *manifest.latent.shape)).astype(np.float32)
    with reparam.load(folder, device="cpu", precision="int8") as vae:
        q, z = vae.encode(x), vae.sample(x, eps=eps)
    np.testing.assert_allclose(z, q.mean + np.exp(q.logvar / 2) * eps, rtol=1e-6, atol=1e-6)


def test_inputs_and_outputs_are_float32_in_every_precision(bundle: tuple[VAE, Path, Manifest]) -> None:
    _, folder, manifest = bundle
    for each in manifest.graphs:
        graph = graph_of(folder, each.file).graph
        kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
        assert kinds == {TensorProto.FLOAT}, each.file


@integers
@pytest.mark.parametrize("name", ["conv-relu", "conv-silu", "conv-subpixel", "conv-nearest", "mlp-relu", "mlp-tanh"])
def test_onnxruntime_runs_every_product_on_integers(
    name: str, exported: dict[str, tuple[VAE, Path, Manifest]], tmp_path: Path
) -> None:
    _, folder, _ = exported[name]
    for role in ("encoder", "decoder"):
        found = set(fused(folder, f"{role}.int8.onnx", tmp_path))
        assert found & {"QLinearConv", "QGemm", "QLinearMatMul"}
        assert not found & {"Conv", "Gemm", "FusedConv", "FusedGemm", "MatMul", "FusedMatMul", "ConvTranspose"}, role


@integers
def test_what_lies_between_two_integer_convolutions_stays_integer(
    exported: dict[str, tuple[VAE, Path, Manifest]], tmp_path: Path
) -> None:
    for name in ("conv-relu", "conv-silu", "conv-subpixel"):
        _, folder, _ = exported[name]
        found = fused(folder, "decoder.int8.onnx", tmp_path)
        first, last = found.index("QLinearConv"), len(found) - found[::-1].index("QLinearConv")
        assert not set(found[first:last]) & {"QuantizeLinear", "DequantizeLinear", "Sigmoid", "Mul", "Relu"}, name


def test_the_measured_elbo_is_the_one_that_the_runtime_gives(exported: dict[str, tuple[VAE, Path, Manifest]]) -> None:
    model, folder, manifest = exported["conv-relu"]
    x = data(model.config)
    for variant in manifest.variants:
        assert variant.negative_elbo is not None
        for precision, told in (("fp32", variant.negative_elbo_fp32), (variant.precision, variant.negative_elbo)):
            with reparam.load(folder, device="cpu", precision=precision) as vae:
                assert vae.evaluate(x, seed=0).negative_elbo == pytest.approx(told, abs=1e-4)


def test_manifest_and_card_tell_size_error_nats_and_speed(exported: dict[str, tuple[VAE, Path, Manifest]]) -> None:
    _, folder, manifest = exported["conv-relu"]
    card = (folder / "README.md").read_text()
    for variant in manifest.variants:
        assert (variant.rows, variant.row_source) == (48, "data")
        assert [(speed.role, speed.batch) for speed in variant.speeds] == [
            *(("encoder", 1), ("encoder", 16)),
            *(("decoder", 1), ("decoder", 16)),
        ]
        assert set(variant.worst) == {"mean", "logvar", "z", "x_hat", "logits"}
        assert f"## {variant.precision} against fp32" in card
        assert f"{variant.negative_elbo:.4f} nats a row" in card
        assert all(f"{error.absolute:.2e}" in card for error in variant.worst.values())
        assert all(f"{speed.variant:,.0f}" in card for speed in variant.speeds)


def test_fp16_without_data_takes_keyed_rows_and_says_no_elbo(tmp_path: Path) -> None:
    manifest = reparam_export.export(VAE.build(CONFIGS["mlp-tanh"], seed=7), tmp_path / "b", precision=("fp16",))
    (variant,) = manifest.variants
    assert manifest.precisions == ("fp32", "fp16")
    assert (variant.row_source, variant.negative_elbo, variant.negative_elbo_fp32) == ("keyed", None, None)


@integers
def test_one_row_is_enough(tmp_path: Path) -> None:
    config = CONFIGS["mlp-relu"]
    manifest = reparam_export.export(
        VAE.build(config, seed=7), tmp_path / "b", precision=["int8"], calibrate=data(config, 1), keep_slower=True
    )
    assert manifest.variants[0].rows == 1


@pytest.mark.slow
@pytest.mark.parametrize("attention", [False, True])
def test_a_net_with_group_norm_attention_and_residuals_has_every_precision(attention: bool, tmp_path: Path) -> None:
    config = VAEConfig(net="resnet", input_shape=(1, 8, 8), latent=2, hidden=(8, 16), attention=attention)
    manifest = reparam_export.export(
        VAE.build(config, seed=7), tmp_path / "b", precision=ALL, calibrate=data(config), keep_slower=True
    )
    assert manifest.precisions == ALL
    assert len(reparam.verify(tmp_path / "b", device="cpu")) == len(ALL)


@pytest.mark.slow
def test_an_autoencoder_kl_runs_in_every_precision_at_open_sizes(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs the extra peers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers tells of CUDA when its models are imported
        kind = diffusers.AutoencoderKL
    torch.manual_seed(1)
    model = kind(block_out_channels=(8,), norm_num_groups=4, sample_size=16)
    x = np.random.default_rng(5).uniform(-1, 1, (16, 3, 16, 16)).astype(np.float32)
    manifest = reparam_export.export(model, tmp_path / "kl", precision=ALL, calibrate=x, keep_slower=True)
    assert manifest.input.factors is not None
    assert [done.sizes for done in manifest.verification] == [manifest.golden.sizes] * len(ALL)
    assert [variant.negative_elbo for variant in manifest.variants] == [None] * len(
        ALL[1:]
    )  # diffusers knows no likelihood
    assert [done.precision for done in reparam.verify(tmp_path / "kl", device="cpu")] == list(ALL)


@pytest.mark.slow
def test_another_process_with_another_order_of_sets_writes_the_same_graphs(
    exported: dict[str, tuple[VAE, Path, Manifest]], tmp_path: Path
) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_precision as t; import reparam_export;"
        "c = t.CONFIGS['conv-relu']; m = t.VAE.build(c, seed=7);"
        "reparam_export.export(m, sys.argv[2], precision=t.ALL, calibrate=t.data(c), keep_slower=True)"
    )
    _, folder, manifest = exported["conv-relu"]
    for seed in ("1", "2"):
        out = tmp_path / seed
        words = [sys.executable, "-c", code, str(Path(__file__).parent), str(out)]
        done = subprocess.run(words, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        for each in manifest.graphs:
            assert (out / each.file).read_bytes() == (folder / each.file).read_bytes(), each.file


@integers
def test_int8_of_raw_images_runs_on_uint8(tmp_path: Path) -> None:
    config = CONFIGS["conv-relu"]
    levels = np.random.default_rng(4).integers(0, 256, (32, 16, 16, 3), np.uint8)
    given = {"levels": levels, "values": (levels / np.float32(255)).transpose(0, 3, 1, 2)}
    found = {}
    for name, calibrate in given.items():
        manifest = reparam_export.export(
            VAE.build(config, seed=7), tmp_path / name, precision=ALL, calibrate=calibrate, keep_slower=True, raw=True
        )
        found[name] = manifest.graphs
        with reparam.load(tmp_path / name, device="cpu", precision="int8") as vae:
            assert vae.reconstruct(levels[:2], seed=1).dtype == np.uint8
    assert found["levels"] == found["values"]


# -- refusals


@pytest.mark.parametrize(
    ("precision", "calibrate", "message"),
    [
        (("int8",), False, "calibrate: int8 takes the range of each value from rows of data"),
        (("fp32",), True, "calibrate: is for fp16 and int8"),
        (("int4",), True, "precision: must be some of fp32, fp16, int8, got"),
        ((), False, "precision: must be some of fp32, fp16, int8, got"),
    ],
)
def test_a_wish_that_cannot_be_honoured_is_refused_at_once(
    precision: Any, calibrate: bool, message: str, tmp_path: Path
) -> None:
    given = data(CONFIGS["mlp-tanh"]) if calibrate else None
    with pytest.raises(OptionError, match=message):
        reparam_export.export(tmp_path / "no run", tmp_path / "b", precision=precision, calibrate=given)
    assert list(tmp_path.iterdir()) == []


def test_int8_is_refused_at_once_on_a_cpu_whose_products_would_saturate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "has_int8", lambda: False)
    given = data(CONFIGS["mlp-tanh"])
    with pytest.raises(
        DeviceUnavailable, match=r"^precision: int8 cannot be proved here: this CPU has no instructions"
    ):
        reparam_export.export(tmp_path / "no run", tmp_path / "b", precision=("int8",), calibrate=given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 23), np.float32), r"calibrate: shape must be \[n, 24\], got \[4, 23\]"),
        (np.zeros((0, 24), np.float32), "calibrate: must have at least one row"),
        (np.full((4, 24), np.nan, np.float32), "calibrate: must be finite"),
        (np.zeros((4, 24), np.int64), "calibrate: dtype must be float32"),
        ([[0.0] * 24], "calibrate: must be a numpy array"),
    ],
)
def test_rows_that_the_encoder_does_not_take_publish_nothing(given: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises((InputError, TypeError), match=message):
        reparam_export.export(
            VAE.build(CONFIGS["mlp-tanh"], seed=7), tmp_path / "b", precision=("fp16",), calibrate=given
        )
    assert list(tmp_path.iterdir()) == []


@integers
@pytest.mark.parametrize(("factor", "message"), [(3.0, "differs from the source"), (np.inf, "not finite")])
def test_a_variant_past_its_bound_publishes_nothing(
    factor: float, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: onnx.ModelProto, feeds: Any) -> onnx.ModelProto:
        found = quantize(model, feeds)
        for tensor in found.graph.initializer:
            if tensor.name.endswith("weight_scale"):
                value = numpy_helper.to_array(tensor) * np.float32(factor)
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        return found

    monkeypatch.setattr(variants, "quantize", wrong)
    config = CONFIGS["mlp-relu"]
    with pytest.raises(VerificationError, match=f"int8: .*{message}"):
        reparam_export.export(
            VAE.build(config, seed=7), tmp_path / "b", precision=ALL, calibrate=data(config), keep_slower=True
        )
    assert list(tmp_path.iterdir()) == []


@integers
def test_a_variant_that_is_not_faster_is_left_out_with_a_line_unless_it_is_to_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = variants.measure

    def slow(*arguments: Any, **options: Any) -> Any:
        found = honest(*arguments, **options)
        speeds = tuple(msgspec.structs.replace(speed, fp32=100.0, variant=80.0) for speed in found.speeds)
        return msgspec.structs.replace(found, speeds=speeds)

    monkeypatch.setattr(variants, "measure", slow)
    model, given = VAE.build(CONFIGS["mlp-tanh"], seed=7), data(CONFIGS["mlp-tanh"])
    with pytest.warns(RuntimeWarning, match="int8: left out, it runs 0.80 times as fast as fp32 here"):
        manifest = reparam_export.export(model, tmp_path / "b", precision=ALL, calibrate=given)
    assert manifest.precisions == ("fp32", "fp16")  # which is for GPUs, and stays where it was asked for
    assert not list((tmp_path / "b").glob("*int8*"))


def test_fp16_in_real_half_precision_stays_within_the_bound(exported: dict[str, tuple[VAE, Path, Manifest]]) -> None:
    for name in ("mlp-tanh", "mlp-relu", "conv-relu"):
        model, folder, manifest = exported[name]
        x = data(model.config, 2)
        eps = np.zeros((2, *manifest.latent.shape), np.float32)
        names = ["mean", "logvar", "z"]
        wanted = ReferenceEvaluator(graph_of(folder, "encoder.onnx")).run(names, {"x": x, "eps": eps})
        found = ReferenceEvaluator(graph_of(folder, "encoder.fp16.onnx")).run(names, {"x": x, "eps": eps})
        for half, full in zip(found, wanted, strict=True):
            assert np.abs(half - full).max() <= 0.01 * np.abs(full).max() + 1e-3
