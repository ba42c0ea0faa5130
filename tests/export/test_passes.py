"""Rewrites towards integer kernels change the form of a graph, never its function."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from reparam.engine.instructions import NO_INT8, has_int8
from reparam_export.passes.aligned import align_channels
from reparam_export.passes.pads import even_pads, joined_pads
from reparam_export.passes.shuffle import block_first, channels_last, early_relu
from reparam_export.passes.transposed import plain_convolutions

Array = np.ndarray


def graph(nodes: list[onnx.NodeProto], constants: dict[str, Array], shape: list[int | str]) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "decoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "channels", "rows", "columns"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, x: Array) -> Array:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def whole_numbers(seed: int, *shape: int) -> Array:
    """Small whole numbers: float32 adds and multiplies them exactly, so that no order of addition shows."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


@st.composite
def sides(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Kernel, padding before and after, output padding and size of one side that gives at least one output."""
    kernel = draw(st.integers(1, 6))
    begin, end = draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel - 1))
    extra, size = draw(st.integers(0, 1)), draw(st.integers(1, 5))
    size += max(0, (begin + end - kernel - extra) // 2 + 2)  # so that something is left
    return kernel, begin, end, extra, size


@settings(deadline=None, max_examples=200)
@given(
    rows=sides(),
    columns=sides(),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    bias=st.booleans(),
    fixed=st.booleans(),
)
def test_a_transposed_convolution_of_whole_numbers_is_the_plain_one_to_the_bit(
    rows: tuple[int, int, int, int, int],
    columns: tuple[int, int, int, int, int],
    channels: tuple[int, int],
    bias: bool,
    fixed: bool,
) -> None:
    before, after = channels
    constants = {"w": whole_numbers(1, before, after, rows[0], columns[0])}
    if bias:
        constants["b"] = whole_numbers(2, after)
    node = helper.make_node(
        "ConvTranspose",
        ["x", *constants],
        ["y"],
        strides=[2, 2],
        pads=[rows[1], columns[1], rows[2], columns[2]],
        output_padding=[rows[3], columns[3]],
    )
    size = [rows[4], columns[4]] if fixed else ["height", "width"]
    model = graph([node], constants, ["batch", before, *size])
    x = whole_numbers(3, 2, before, rows[4], columns[4])
    wanted = run(model, x)
    plain_convolutions(model)
    assert "ConvTranspose" not in operators(model)
    assert np.array_equal(run(model, x), wanted)
    channels_last(model)
    assert ("DepthToSpace" in operators(model)) is not fixed
    assert np.array_equal(run(model, x), wanted)


@pytest.mark.parametrize(
    "attributes",
    [{"strides": [1, 1]}, {"strides": [2, 1]}, {"strides": [3, 3]}, {"strides": [2, 2], "dilations": [2, 2]}, {}],
)
def test_other_transposed_convolutions_are_left_as_they_are(attributes: dict[str, list[int]]) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], **attributes)
    model = graph([node], {"w": whole_numbers(1, 2, 2, 3, 3)}, ["batch", 2, 4, 4])
    plain_convolutions(model)
    assert list(model.graph.node) == [node]


def test_a_transposed_convolution_in_groups_is_left_as_it_is() -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], group=2)
    model = graph([node], {"w": whole_numbers(1, 2, 1, 3, 3)}, ["batch", 2, 4, 4])
    plain_convolutions(model)
    assert list(model.graph.node) == [node]


def test_two_that_share_their_weights_are_both_rewritten() -> None:
    nodes = [
        helper.make_node("ConvTranspose", [x, "w"], [y], strides=[2, 2], pads=[1] * 4)
        for x, y in (("x", "h"), ("h", "y"))
    ]
    model = graph(nodes, {"w": whole_numbers(1, 2, 2, 4, 4)}, ["batch", 2, 3, 3])
    x = whole_numbers(2, 1, 2, 3, 3)
    wanted = run(model, x)
    plain_convolutions(model)
    assert np.array_equal(run(model, x), wanted)
    assert "w" not in [tensor.name for tensor in model.graph.initializer]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("relu", [False, True])
def test_a_pixel_shuffle_takes_another_form_and_keeps_every_bit(mode: str, relu: bool) -> None:
    shuffle = helper.make_node("DepthToSpace", ["c"], ["s" if relu else "y"], blocksize=2, mode=mode)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4), shuffle]
    nodes += [helper.make_node("Relu", ["s"], ["y"])] * relu
    model = graph(nodes, {"w": whole_numbers(1, 12, 2, 3, 3), "b": whole_numbers(2, 12)}, ["batch", 2, 5, 4])
    x = whole_numbers(3, 3, 2, 5, 4)
    wanted = run(model, x)
    early_relu(model)
    block_first(model)
    found = operators(model)
    assert found == (["Conv", "Relu", "DepthToSpace"] if relu else ["Conv", "DepthToSpace"])
    assert [value.s for node in model.graph.node for value in node.attribute if value.name == "mode"] == [b"DCR"]
    assert np.array_equal(run(model, x), wanted)
    channels_last(model)
    assert "DepthToSpace" not in operators(model)
    assert np.array_equal(run(model, x), wanted)


def test_a_shuffle_whose_values_leave_the_graph_keeps_its_place() -> None:
    nodes = [
        helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD"),
        helper.make_node("Relu", ["y"], ["r"]),
    ]
    model = graph(nodes, {}, ["batch", 4, 2, 2])
    early_relu(model)
    block_first(model)
    assert list(model.graph.node) == nodes


@pytest.mark.skipif(not has_int8(), reason=NO_INT8)
@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_channels_of_zeros_change_nothing(channels: int) -> None:
    weight = np.random.default_rng(1).integers(-127, 128, (5, channels, 3, 3), np.int8)
    constants = {
        "scale": np.float32(0.02),
        "zero": np.uint8(100),
        "w": weight,
        "w_scale": np.full(5, 0.01, np.float32),
        "w_zero": np.zeros(5, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["dw"], axis=0),
        helper.make_node("Conv", ["d", "dw"], ["c"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "scale", "zero"], ["y"]),
    ]
    model = graph(nodes, {name: np.asarray(value) for name, value in constants.items()}, ["batch", channels, 6, 5])
    x = np.random.default_rng(2).normal(size=(3, channels, 6, 5)).astype(np.float32)
    wanted = run(model, x)
    align_channels(model)
    assert ("Pad" in operators(model)) is (channels % 4 != 0)
    assert np.array_equal(run(model, x), wanted)


@settings(deadline=None, max_examples=60)
@given(pads=st.tuples(*[st.integers(0, 3)] * 4), stride=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_convolution_with_uneven_pads_is_one_without_after_a_pad_to_the_bit(
    pads: tuple[int, int, int, int], stride: int, seed: int
) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=pads, strides=[stride, stride])
    weights = {"w": whole_numbers(seed, 5, 2, 3, 3)}
    plain, even = (graph([node], weights, ["batch", 2, "height", "width"]) for _ in range(2))
    even_pads(even)
    uneven = pads[:2] != pads[2:]
    assert operators(even) == (["Pad", "Conv"] if uneven else ["Conv"])
    assert helper.get_node_attr_value(even.graph.node[-1], "pads") == ([0] * 4 if uneven else list(pads))
    x = whole_numbers(seed + 1, 3, 2, 6, 7)
    assert np.array_equal(run(even, x), run(plain, x))
    joined_pads(even)
    assert operators(even) == ["Conv"]
    assert helper.get_node_attr_value(even.graph.node[-1], "pads") == list(pads)
    assert np.array_equal(run(even, x), run(plain, x))


def test_a_pad_that_another_node_reads_too_stays_for_it_and_one_of_ones_stays() -> None:
    nodes = [
        helper.make_node("Pad", ["x", "ends"], ["p"]),
        helper.make_node("Conv", ["p", "w"], ["c"], pads=[0, 0, 0, 0]),
        helper.make_node("Pad", ["x", "ends", "one"], ["q"]),
        helper.make_node("Conv", ["q", "w"], ["d"], pads=[0, 0, 0, 0]),
        helper.make_node("Sum", ["c", "d", "p", "q"], ["y"]),
    ]
    ends = np.array([0, 0, 0, 0, 0, 0, 2, 2])
    weights = {"w": whole_numbers(1, 1, 2, 1, 1), "ends": ends, "one": np.float32(1)}
    plain, joined = (graph(nodes, weights, ["batch", 2, "height", "width"]) for _ in range(2))
    joined_pads(joined)
    assert [node.input[0] for node in joined.graph.node] == ["x", "x", "x", "q", "c"]
    x = whole_numbers(2, 3, 2, 4, 5)
    assert np.array_equal(run(joined, x), run(plain, x))
