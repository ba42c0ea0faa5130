"""fp16 keeps in float32 what half precision cannot hold: found in the ranges of values, held by the reference."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import reparam
import reparam_export
from reparam_export.precision.fp16 import halve
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

CONFIG = VAEConfig(net="mlp", input_shape=(2, 5), latent=4, hidden=(16,), likelihood="gaussian", std=0.3)


def steep(gain: float) -> onnx.ModelProto:
    """y = x @ w * gain / gain: values of the size of gain inside, of x at the edge."""
    w = np.eye(3, dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["a"], name="up"),
        helper.make_node("Relu", ["a"], ["b"], name="between"),
        helper.make_node("MatMul", ["b", "down"], ["c"], name="down"),
        helper.make_node("Tanh", ["c"], ["y"], name="after"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "decoder",
        [value("x", TensorProto.FLOAT, ["batch", 3])],
        [value("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(w * np.float32(gain), "up"), numpy_helper.from_array(w / np.float32(gain), "down")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("gain", [1e6, 3e4, 1e-6])
def test_values_that_half_precision_cannot_hold_stay_float32(gain: float) -> None:
    x = np.random.default_rng(2).random((8, 3), np.float32)
    model = steep(gain)
    found, kept = halve(model, [{"x": x}])
    (half,) = ReferenceEvaluator(found).run(None, {"x": x})
    assert kept == 3
    np.testing.assert_allclose(half, np.tanh(x), atol=1e-3)
    onnx.checker.check_model(found, full_check=True)


def test_without_the_range_check_the_same_model_overflows() -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    x = np.full((2, 3), 0.5, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy tells of the overflow
        half = convert_float_to_float16(steep(1e5), keep_io_types=True)
        from onnxruntime.transformers.onnx_model import OnnxModel

        OnnxModel.graph_topological_sort(half.graph, is_deterministic=True)
        (found,) = ReferenceEvaluator(half).run(None, {"x": x})
    assert not np.allclose(found, np.tanh(x), atol=1e-3)


@pytest.mark.parametrize("casts", [1, 2], ids=["as installed", "as before 1.32"])
def test_a_half_value_that_two_float32_nodes_read_is_cast_once(casts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    converter = importlib.import_module("onnxruntime.transformers.float16")
    convert = converter.convert_float_to_float16

    def older(*given: Any, **options: Any) -> onnx.ModelProto:
        found: onnx.ModelProto = convert(*given, **options)
        again = [node for node in found.graph.node if node.name.endswith("_cast_to_fp32_node")]
        if not again:
            pytest.skip("this converter gives each reader a cast of its own")
        found.graph.node.extend(again * (casts - 1))
        return found

    monkeypatch.setattr(converter, "convert_float_to_float16", older)
    names = ("one", "two")
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="before"),
        *(helper.make_node("MatMul", ["a", f"w_{each}"], [f"big_{each}"], name=f"up_{each}") for each in names),
        *(helper.make_node("Tanh", [f"big_{each}"], [each], name=f"after_{each}") for each in names),
    ]
    value = helper.make_tensor_value_info
    wide = [numpy_helper.from_array(np.eye(3, dtype=np.float32) * np.float32(1e6), f"w_{each}") for each in names]
    shape = ["batch", 3]
    graph = helper.make_graph(
        nodes,
        "decoder",
        [value("x", TensorProto.FLOAT, shape)],
        [value(each, TensorProto.FLOAT, shape) for each in names],
        wide,
    )
    x = np.random.default_rng(2).random((8, 3), np.float32)
    found, _ = halve(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), [{"x": x}])
    onnx.checker.check_model(found, full_check=True)
    for half in ReferenceEvaluator(found).run(None, {"x": x}):
        np.testing.assert_allclose(half, np.tanh(x * 1e6), atol=1e-3)


def test_values_that_fit_are_all_halved() -> None:
    x = np.random.default_rng(2).random((8, 3), np.float32)
    found, kept = halve(steep(1.0), [{"x": x}])
    assert kept == 0
    assert {tensor.data_type for tensor in found.graph.initializer} == {TensorProto.FLOAT16}


def test_a_model_built_to_overflow_is_exported_with_those_nodes_in_float32(tmp_path: Path) -> None:
    model = VAE.build(CONFIG, seed=7)
    first, last = model.decoder.layers[0], model.decoder.last
    with torch.no_grad():
        for parameter in (first.weight, first.bias):
            parameter.mul_(1e6)
        last.weight.mul_(1e-6)
    x = np.random.default_rng(3).random((48, *CONFIG.input_shape), np.float32)
    manifest = reparam_export.export(model, tmp_path / "b", precision=("fp16",), calibrate=x)
    assert manifest.variants[0].fp32_nodes >= 3
    z = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    half = ReferenceEvaluator(onnx.load(tmp_path / "b" / "decoder.fp16.onnx")).run(["x_hat"], {"z": z})[0]
    with reparam.load(tmp_path / "b", device="cpu") as vae:
        wanted = vae.decode(z)
    assert np.abs(half - wanted).max() <= 0.01 * np.abs(wanted).max() + 1e-3
