"""What the gate allows is listed and bounded: fields, operators, attributes, names, bytes of weights, and order."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.bundle.operators import OPERATORS
from reparam.bundle.sizes.walk import RULES
from reparam.errors import BundleError, OptionError

Maker = Callable[..., Path]
Refused = Callable[..., None]
FLOAT, INT, STRING, INTS = 1, 2, 3, 7  # AttributeProto.type


@pytest.fixture
def refused(tiny: Maker, tmp_path: Path) -> Refused:
    """A bundle with this encoder is refused in these words, by whoever is trusted."""

    def check(encoder: bytes, message: str, trusts: tuple[str, ...] = ("strict", "exporter")) -> None:
        folder = tiny(tmp_path / "b", encoder=encoder)
        for trust in trusts:
            with pytest.raises(BundleError, match=rf"encoder\.onnx: refused: .*{message}") as caught:
                reparam.load(folder, device="cpu", trust=trust)  # type: ignore[arg-type]
            assert str(caught.value).isprintable()

    return check


def encoder(onnx: Any, *nodes: bytes, tensors: tuple[bytes, ...] = (), **options: Any) -> bytes:
    """Nodes that make `mean` out of x, and the rest of an encoder."""
    rest = [onnx.node("Sub", "x x", "logvar"), onnx.node("Add", "mean eps", "z")]
    inputs = [onnx.value(name, "batch", 2) for name in ("x", "eps")]
    outputs = [onnx.value(name, "batch", 2) for name in ("mean", "logvar", "z")]
    more = [(5, tensor) for tensor in tensors]
    found: bytes = onnx.model(onnx.graph([*nodes, *rest], inputs, outputs, *more), **options)
    return found


def whole(onnx: Any, name: str, number: int) -> tuple[int, bytes]:
    return 5, onnx.message((1, name), (20, INT), (3, number))


def tensor(onnx: Any, dtype: int, shape: tuple[int, ...], *data: tuple[int, Any], name: str = "w") -> bytes:
    found: bytes = onnx.message(*((1, side) for side in shape), (2, dtype), (8, name), *data)
    return found


# -- operators -------------------------------------------------------------------------------------------------------


def test_every_operator_of_the_list_has_a_rule_for_its_sizes() -> None:
    assert OPERATORS.keys() == RULES.keys()
    assert not {"If", "Loop", "Scan", "Dropout", "RandomNormal", "OneHot", "DFT", "NonZero"} & OPERATORS.keys()


def test_an_operator_off_the_list_needs_trust_and_the_message_says_so(
    tiny: Maker, onnx: Any, tmp_path: Path, refused: Refused
) -> None:
    two = onnx.message((1, "value"), (20, 4), (5, tensor(onnx, 7, (1,), (9, struct.pack("<q", 2)))))
    nodes = [
        onnx.node("Shape", "x", "rows", whole(onnx, "end", 1)),
        onnx.node("ConstantOfShape", "rows", "lengths", (5, two)),
        onnx.node("ReverseSequence", "x lengths", "mean", whole(onnx, "batch_axis", 0), whole(onnx, "time_axis", 1)),
    ]
    message = r'operator ReverseSequence is not on the list .*; trust="exporter" takes it from someone you trust'
    refused(encoder(onnx, *nodes), message, ("strict",))
    with reparam.load(tiny(tmp_path / "b", encoder=encoder(onnx, *nodes)), device="cpu", trust="exporter") as vae:
        assert vae.encode(np.array([[1, 2]], np.float32)).mean.tolist() == [[2.0, 1.0]]


def test_info_says_that_a_bundle_needs_trust(cli: Any, tiny: Maker, tmp_path: Path, bundle: Path) -> None:
    folder = tiny(tmp_path / "b", trust="exporter")
    assert "needs" in cli("info", folder).out
    assert "--trust exporter" in cli("info", folder).out
    assert "trust" not in cli("info", bundle).out
    with pytest.raises(BundleError, match="not a valid manifest"):
        reparam.load(tiny(tmp_path / "c", trust="strict"), device="cpu")


def test_trust_is_one_of_two_words(bundle: Path) -> None:
    for trust in ("none", "", None, True):
        with pytest.raises(OptionError, match="trust: must be strict or exporter, got"):
            reparam.load(bundle, device="cpu", trust=trust)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operator", "inputs", "message"),
    [
        ("Add", ("x", ""), "input 1 may not be left out"),
        ("Sum", ("x", ""), "input 1 may not be left out"),
        ("LayerNormalization", ("", "x"), "input 0 may not be left out"),
        ("LayerNormalization", ("x", "x", ""), "input 2 may not be left out"),
        ("Clip", ("x", "", ""), "input 2 may not be left out"),
        ("Resize", ("", "", "x"), "input 0 may not be left out"),
        ("Add", ("x",), "must have 2 to 2 inputs, has 1"),
        ("Relu", ("x", "x"), "must have 1 to 1 inputs, has 2"),
        ("Sum", ("x",) * 65, "must have 1 to 64 inputs, has 65"),
    ],
)
def test_inputs_are_as_many_as_listed_and_left_out_only_where_it_is_safe(
    onnx: Any, refused: Refused, operator: str, inputs: tuple[str, ...], message: str
) -> None:
    node = onnx.message(*((1, name) for name in inputs), (2, "mean"), (4, operator))
    refused(encoder(onnx, node), message)


def test_an_input_that_the_list_marks_may_be_left_out(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    node = onnx.message((1, "x"), (1, ""), (1, "most"), (2, "mean"), (4, "Clip"))
    most = tensor(onnx, 1, (), (9, struct.pack("<f", 0.5)), name="most")
    with reparam.load(tiny(tmp_path / "b", encoder=encoder(onnx, node, tensors=(most,))), device="cpu") as vae:
        assert vae.encode(np.array([[-9, 9]], np.float32)).mean.tolist() == [[-9.0, 0.5]]


def test_outputs_have_names_and_are_as_many_as_listed(onnx: Any, refused: Refused) -> None:
    for outputs, message in ((("mean", "more"), "1 to 1 outputs, has 2"), (("",), "an output has no name")):
        refused(encoder(onnx, onnx.message((1, "x"), *((2, name) for name in outputs), (4, "Relu"))), message)


# -- attributes ------------------------------------------------------------------------------------------------------


def attributes(onnx: Any) -> dict[str, tuple[str, bytes, str]]:
    """Operator, attribute and the words in which it is refused."""
    message = onnx.message
    number = message((1, "axis"), (20, INT), (3, 1))
    return {
        "another name": ("Softmax", message((1, "axes"), (20, INT), (3, 1)), "attribute 'axes' of kind int is not on"),
        "another kind": (
            "Softmax",
            message((1, "axis"), (20, STRING), (4, "1")),
            "'axis' of kind string is not on the",
        ),
        "too large": ("Softmax", message((1, "axis"), (20, INT), (3, 9)), "axis must be -8 to 8, got 9"),
        "far below": ("Softmax", message((1, "axis"), (20, INT), (3, -(2**63))), "axis must be -8 to 8, got -92233"),
        "no word": (
            "DepthToSpace",
            message((1, "mode"), (20, STRING), (4, "ABC")),
            "mode must be one of CRD, DCR, got",
        ),
        "too many": ("Transpose", message((1, "perm"), (20, INTS), *((8, 1) for _ in range(9))), "at most 8 numbers"),
        "out of range": ("Transpose", message((1, "perm"), (20, INTS), (8, 99)), "at most 8 numbers of 0 to 7, got"),
        "a lie of its type": ("Softmax", message((1, "axis"), (20, FLOAT), (3, 1)), "not the one value that its type"),
        "no value": ("Softmax", message((1, "axis"), (20, INT)), "axis has no value"),
        "no type": ("Softmax", message((1, "axis"), (3, 1)), "has no name or no type"),
        "two values": ("Softmax", number + message((3, 1)), "not the one value that its type means"),
        "two names": ("Softmax", number + message((1, "axis")), "field 1 of attribute 'axis' is not allowed"),
        "two types": ("Softmax", number + message((20, INT)), "field 20 of attribute 'axis' is not allowed"),
        "two kinds": ("Softmax", number + message((4, "x")), "field 4 of attribute 'axis' is not allowed"),
        "a reference": ("Softmax", number + message((21, "axis")), "field 21 of attribute 'axis' is not allowed"),
        "a text": ("Softmax", number + message((13, "told")), "field 13 of attribute 'axis' is not allowed"),
        "NaN": ("Elu", message((1, "alpha"), (20, FLOAT)) + b"\x15" + struct.pack("<f", np.nan), "finite numbers"),
        "infinite": ("Elu", message((1, "alpha"), (20, FLOAT)) + b"\x15" + struct.pack("<f", np.inf), "finite numbers"),
    }


@pytest.mark.parametrize("name", sorted(attributes(type("", (), {"message": staticmethod(lambda *_: b"")}))))
def test_an_attribute_beyond_its_limits_is_refused(onnx: Any, refused: Refused, name: str) -> None:
    operator, attribute, message = attributes(onnx)[name]
    refused(encoder(onnx, onnx.node(operator, "x", "mean", (5, attribute))), message)


def test_an_attribute_that_stands_twice_is_refused(onnx: Any, refused: Refused) -> None:
    node = onnx.node("Softmax", "x", "mean", whole(onnx, "axis", 1), whole(onnx, "axis", 1))
    refused(encoder(onnx, node), "attribute axis stands twice")


def test_a_constant_among_attributes_is_small(onnx: Any, refused: Refused) -> None:
    large = tensor(onnx, 1, (1, 2000), (9, bytes(8000)), name="")
    node = onnx.node("Constant", "", "mean", (5, onnx.message((1, "value"), (20, 4), (5, large))))
    refused(encoder(onnx, node), "value must have at most 4096 bytes; weights are initializers")


# -- fields ----------------------------------------------------------------------------------------------------------


def test_a_field_that_stands_once_may_not_stand_twice(onnx: Any, refused: Refused) -> None:
    good = onnx.encoder()
    twice = {
        "model: field 1 stands twice": good + onnx.message((1, 9)),
        "operator set: a field stands twice": onnx.model(onnx.graph([], [], []), (8, onnx.message((2, 18), (2, 18)))),
        "node 'Relu mean': field 4 stands twice": encoder(onnx, onnx.node("Relu", "x", "mean", (4, "Relu"))),
        "node 'Relu mean': field 3 stands twice": encoder(onnx, onnx.node("Relu", "x", "mean", (3, "again"))),
        "node 'Relu mean': field 7 stands twice": encoder(onnx, onnx.node("Relu", "x", "mean", (7, ""), (7, ""))),
        "graph: field 2 stands twice": onnx.model(onnx.graph([], [], [], (2, "again"))),
        "tensor 'w': field 8 stands twice": encoder(onnx, tensors=(onnx.integers("w", 1) + onnx.message((8, "w")),)),
        "a tensor has its data twice": encoder(onnx, tensors=(onnx.integers("w", 1) + onnx.message((9, bytes(8))),)),
    }
    for message, data in twice.items():
        refused(data, message)


def test_fields_that_no_bundle_needs_are_refused(onnx: Any, refused: Refused) -> None:
    hint = onnx.value("mean", 7, 7)  # a shape that is not so
    fields = {
        "model: field 4 is not allowed": onnx.encoder() + onnx.message((4, "domain")),
        "model: field 26 is not allowed": onnx.encoder() + onnx.message((26, "")),
        "model: field 1000 is not allowed": onnx.encoder() + onnx.message((1000, "")),
        "graph: field 13 stands twice or is not": onnx.model(onnx.graph([], [], [], (13, hint))),
        "graph: field 14 stands twice or is not": onnx.model(onnx.graph([], [], [], (14, ""))),
        "node 'Relu mean': field 8": encoder(onnx, onnx.node("Relu", "x", "mean", (8, "overload"))),
        "node 'Relu mean': field 6": encoder(onnx, onnx.node("Relu", "x", "mean", (6, "text"))),
        "tensor 'w': field 12 is not allowed": encoder(onnx, tensors=(onnx.integers("w", 1) + onnx.message((12, "")),)),
        "tensor 'w': field 3 is not allowed": encoder(onnx, tensors=(onnx.integers("w", 1) + onnx.message((3, "")),)),
    }
    for message, data in fields.items():
        refused(data, message)


def test_metadata_is_the_bundles_own_since_onnxruntime_reads_settings_there(onnx: Any, refused: Refused) -> None:
    entry = onnx.message((1, "ort_config"), (2, '{"session_options": {}}'))
    refused(onnx.encoder() + onnx.message((14, entry)), "metadata: key 'ort_config' is not one of format, id, role")
    refused(onnx.encoder() + onnx.message((14, onnx.message((1, "id")))), "metadata: must be a key and a value")


def test_names_are_short_and_printable(onnx: Any, refused: Refused) -> None:
    for name, message in (("m" * 513, "more than 512 bytes"), ("a\x00b", "not printable"), ("\u202e", "not printable")):
        nodes = [onnx.message((1, "x"), (2, name), (4, "Relu")), onnx.message((1, name), (2, "mean"), (4, "Relu"))]
        refused(encoder(onnx, *nodes), message)


def test_an_operator_set_is_one_of_those_that_were_tried(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    for opset in (12, 19, 0):
        graph = {"precision": "fp32", "opset": opset, "ir_version": 9, "bytes": 1, "sha256": "0" * 64}
        graphs = [graph | {"role": role, "file": f"{role}.onnx"} for role in ("encoder", "decoder")]
        folder = tiny(tmp_path / "b", encoder=onnx.encoder(opset=opset), graphs=graphs)
        with pytest.raises(BundleError, match=r"operator set must be 13 to 18|not a valid manifest"):
            reparam.load(folder, device="cpu")


# -- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "shape", "field", "data", "message"),
    [
        (1, (3,), 9, bytes(11), r"its shape \[3\] means 12 bytes, it has 11"),
        (1, (3,), 9, bytes(16), r"its shape \[3\] means 12 bytes, it has 16"),
        (1, (2**31 - 1, 2**31 - 1), 9, bytes(16), "means 18446744056529682436 bytes, it has 16"),
        (1, (), 9, b"", r"its shape \[\] means 4 bytes, it has 0"),
        (1, (2**31,), 9, b"", "its shape must have at most 8 sizes"),
        (1, (1,) * 9, 9, bytes(4), "its shape must have at most 8 sizes"),
        (8, (1,), 9, b"", "data type 8 is not allowed"),
        (16, (1,), 9, bytes(2), "data type 16 is not allowed"),
        (0, (1,), 9, bytes(2), "data type 0 is not allowed"),
        (2**32 + 1, (1,), 9, bytes(4), "data type 4294967297 is not allowed"),
        (9, (2,), 9, b"\x01\x02", "a truth value is 0 or 1"),
        (1, (2,), 4, bytes(4), "means 2 values, it has 1"),
        (1, (1,), 4, bytes(7), "means 1 values, it has 1"),
        (7, (3,), 7, b"\x01\x02", "means 3 values, it has 2"),
        (7, (1,), 7, b"\x81", "runs past"),
        (7, (1,), 7, b"\xff" * 10 + b"\x01", "runs past ten bytes"),
        (1, (1,), 7, b"\x01", "field 7 cannot hold data type 1"),
        (7, (1,), 5, b"\x01", "field 5 cannot hold data type 7"),
    ],
)
def test_weights_have_exactly_their_shapes_bytes(
    onnx: Any, refused: Refused, *, dtype: int, shape: tuple[int, ...], field: int, data: bytes, message: str
) -> None:
    refused(encoder(onnx, tensors=(tensor(onnx, dtype, shape, (field, data)),)), message)


def test_unpacked_data_are_refused(onnx: Any, refused: Refused) -> None:
    refused(encoder(onnx, tensors=(tensor(onnx, 7, (1,), (7, 1)),)), "tensor 'w': its data must be packed")


def test_typed_data_and_raw_bytes_give_the_same(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    x = np.ones((1, 2), np.float32)
    for place, data in enumerate(((9, struct.pack("<2f", 3, 4)), (4, struct.pack("<2f", 3, 4)))):
        graph = encoder(onnx, onnx.node("Mul", "x w", "mean"), tensors=(tensor(onnx, 1, (2,), data),))
        with reparam.load(tiny(tmp_path / str(place), encoder=graph), device="cpu") as vae:
            assert vae.encode(x).mean.tolist() == [[3.0, 4.0]]


# -- order -----------------------------------------------------------------------------------------------------------


def test_a_value_is_made_before_it_is_used_and_made_once(onnx: Any, refused: Refused) -> None:
    node = onnx.node
    graphs = {
        "Relu: takes 'late' before it is made": (node("Relu", "late", "mean"), node("Relu", "x", "late")),
        "Relu: takes 'mean' before it is made": (node("Relu", "mean", "mean"),),
        "Relu: takes 'never' before it is made": (node("Relu", "never", "mean"),),
        "Relu: makes 'mean', which is there already": (node("Relu", "x", "mean"), node("Relu", "x", "mean")),
        "Relu: makes 'x', which is there already": (node("Relu", "x", "mean"), node("Relu", "eps", "x")),
        "its output mean is never made|takes 'mean' before": (),
    }
    for message, nodes in graphs.items():
        refused(encoder(onnx, *nodes), message)


def test_a_tensor_has_a_name_of_its_own(onnx: Any, refused: Refused) -> None:
    mean = onnx.node("Relu", "x", "mean")
    one = onnx.integers("w", 1)
    refused(encoder(onnx, mean, tensors=(one, one)), "tensor 'w': has no name of its own")
    refused(encoder(onnx, mean, tensors=(onnx.integers("", 1),)), "tensor '': has no name of its own")
    refused(encoder(onnx, mean, tensors=(onnx.integers("x", 1),)), "a tensor has the name of an input")
    refused(encoder(onnx, mean, tensors=(onnx.integers("mean", 1),)), "which is there already")


def test_inputs_and_outputs_have_the_contracts_names(onnx: Any, refused: Refused) -> None:
    value = lambda name: onnx.value(name, "batch", 2)  # noqa: E731
    nodes = [onnx.node("Relu", "x", name) for name in ("mean", "logvar", "z")]
    for inputs, outputs, message in (
        (("x",), ("mean", "logvar", "z"), "its inputs must be x, eps, found x;"),
        (("eps", "x"), ("mean", "logvar", "z"), "its inputs must be x, eps, found eps, x;"),
        (("x", "eps", "w"), ("mean", "logvar", "z"), "its inputs must be x, eps, found x, eps, w;"),
        (("x", "eps"), ("mean", "z"), "its outputs must be mean, logvar, z, found mean, z;"),
        (("x", "eps"), (), "its outputs must be mean, logvar, z, found none;"),
    ):
        refused(onnx.model(onnx.graph(nodes, list(map(value, inputs)), list(map(value, outputs)))), message)


def test_inputs_and_outputs_are_tensors_with_a_shape(onnx: Any, refused: Refused) -> None:
    message, mean = onnx.message, onnx.node("Relu", "x", "mean")
    kind = onnx.field(1, message((1, 1), (2, b"")))
    for other, told in (
        (message((1, "x")), "must be a tensor with a name"),
        (message((1, "x"), (2, message((4, b"")))), "must be a tensor with a name"),
        (message((1, "x"), (2, message((1, message((1, 1)))))), "must be a tensor with a name"),
        (message((1, "x"), (1, "x"), (2, kind)), "fields|must be a tensor"),
        (message((1, "x"), (2, message((1, message((1, 8), (2, b"")))))), "data type 8 is not allowed"),
        (message((1, "x"), (2, message((1, message((1, 1), (2, message((1, b"")))))))), "a size or a name"),
    ):
        refused(onnx.model(onnx.graph([mean], [other], [])), told)


def test_a_graph_of_too_many_parts_is_refused_quickly(onnx: Any, refused: Refused) -> None:
    body = onnx.field(1, onnx.node("Relu", "x", "y"))
    refused(onnx.model(body * 40_000), "more than 24640 fields")
    refused(onnx.model(body * 10_000), "more than 8192 nodes")
    wide = onnx.message(*((1, "x") for _ in range(2000)), (2, "mean"), (4, "Concat"))
    refused(encoder(onnx, wide), "more than 160 fields")
