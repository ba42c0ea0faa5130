"""What a graph may not hold is refused on its bytes, before onnxruntime sees them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.errors import BundleError, ReparamError

Maker = Callable[..., Path]


def refused(folder: Path, message: str) -> None:
    with pytest.raises(BundleError, match=rf"(en|de)coder\.onnx: refused: .*{message}.*; export the bundle") as caught:
        reparam.load(folder, device="cpu")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("domain", ["", "ai.onnx"])
@pytest.mark.parametrize(
    "operator",
    [
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
        "Dropout",
    ],
)
def test_a_random_operator_is_refused(
    tiny: Maker, onnx: Any, tmp_path: Path, *, operator: str, domain: str, role: str
) -> None:
    node = onnx.node(operator, "x", "y", (7, domain))
    graph = onnx.encoder(node) if role == "encoder" else onnx.decoder(node)
    refused(tiny(tmp_path / "b", **{role: graph}), f"random operator {operator}; noise must come in through eps")


def test_a_subgraph_is_refused_whatever_it_holds(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    inner = onnx.graph([], [], [])
    for attribute in ((6, inner), (11, inner)):  # one graph, a list of graphs
        node = onnx.node("If", "x", "y", (5, onnx.message((1, "then_branch"), attribute)))
        refused(tiny(tmp_path / "b", encoder=onnx.encoder(node)), r"subgraphs \(If, Loop, Scan\) are not allowed")


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "ai.onnx.training", "mine"])
def test_an_operator_of_another_domain_is_refused(tiny: Maker, onnx: Any, tmp_path: Path, domain: str) -> None:
    folder = tiny(tmp_path / "b", encoder=onnx.encoder(onnx.node("Gelu", "x", "mean", (7, domain))))
    refused(folder, f"operator Gelu of the custom domain '{domain}' is not allowed")


def test_a_second_operator_set_is_refused(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    for domain in ("com.microsoft", ""):
        second = (8, onnx.message((1, domain), (2, 1)))
        graph = onnx.model(onnx.graph([], [], []), second)
        refused(tiny(tmp_path / "b", encoder=graph), "operator sets must be the standard one at 18, found")
    refused(tiny(tmp_path / "b", encoder=onnx.message((1, 9), (7, b""))), r"operator sets must be .* found \[\]")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 17}, r"operator sets must be the standard one at 18, found \[\('', 17\)\]"),
        ({"opset": 0}, "operator sets must be"),
        ({"ir_version": 10}, "ir_version must be 9 as the manifest says, found 10"),
    ],
)
def test_another_version_than_the_manifests_is_refused(
    tiny: Maker, onnx: Any, tmp_path: Path, options: dict[str, int], message: str
) -> None:
    refused(tiny(tmp_path / "b", encoder=onnx.encoder(**options)), message)


def test_functions_and_training_graphs_are_refused(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    graph = onnx.graph([], [], [])
    refused(tiny(tmp_path / "b", encoder=onnx.model(graph, (25, b""))), "functions are not allowed")
    refused(tiny(tmp_path / "b", encoder=onnx.model(graph, (20, b""))), "training graphs are not allowed")


def test_a_model_holds_exactly_one_graph(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    refused(tiny(tmp_path / "b", encoder=onnx.model(onnx.graph([], [], []), (7, b""))), "one graph, found 2")
    version = onnx.message((1, 9), (8, onnx.message((1, ""), (2, 18))))
    refused(tiny(tmp_path / "b", encoder=version), "one graph, found 0")


def test_data_outside_the_file_is_refused_wherever_a_tensor_may_stand(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    entry = onnx.message((1, "location"), (2, "/etc/passwd"))
    for outside in ((13, entry), (14, 1)):
        tensor = onnx.integers("w", 1) + onnx.message(outside)
        constant, several = (
            onnx.node("Constant", "", "y", (5, onnx.message((1, "value"), (20, 4), (k, tensor)))) for k in (5, 10)
        )
        for graph in (onnx.graph([], [], [], (5, tensor)), onnx.graph([constant], [], [])):
            refused(tiny(tmp_path / "b", encoder=onnx.model(graph)), "external data is not allowed; weights belong")
        graph = onnx.graph([several], [], [])
        refused(tiny(tmp_path / "b", encoder=onnx.model(graph)), "field 10 of attribute 'value' is not allowed")


def test_sparse_data_is_refused_wherever_it_may_stand(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    nodes = [onnx.node("Constant", "", "y", (5, onnx.message((1, "sparse_value"), (k, b"")))) for k in (22, 23)]
    for graph in (onnx.graph([], [], [], (15, b"")), *(onnx.graph([node], [], []) for node in nodes)):
        refused(tiny(tmp_path / "b", encoder=onnx.model(graph)), "sparse data is not allowed")


def test_a_graph_cut_short_anywhere_is_refused(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    whole = onnx.encoder()
    for size in range(1, len(whole)):
        with pytest.raises(BundleError, match=r"encoder\.onnx: refused: "):
            reparam.load(tiny(tmp_path / "b", encoder=whole[:size]), device="cpu")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0b\x0c", "wire type 3"),  # a group
        (b"\x00\x00", "field 0 is not allowed"),
        (b"\x38\x01", "field 7 is not allowed"),  # the graph as a number
        (b"\xff" * 11, "runs past"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "runs past"),  # a length of 2^64 - 1
    ],
)
def test_what_is_no_protobuf_message_is_refused(tiny: Maker, tmp_path: Path, data: bytes, message: str) -> None:
    refused(tiny(tmp_path / "b", decoder=data), message)


@pytest.mark.parametrize("bit", range(29, 36))
def test_a_field_number_that_protobuf_would_truncate_hides_nothing(
    tiny: Maker, onnx: Any, tmp_path: Path, bit: int
) -> None:
    hidden = onnx.node("RandomNormalLike", "x", "noise")
    key = onnx.varint((1 << 3 | 2) | 1 << bit)  # field 1 of the graph, a node, once the high bits are lost
    nodes = [onnx.node("Identity", "x", "mean"), onnx.node("Sub", "x x", "logvar")]
    inputs = [onnx.value(name, "batch", 2) for name in ("x", "eps")]
    outputs = [onnx.value(name, "batch", 2) for name in ("mean", "logvar", "z")]
    last = onnx.message((1, onnx.node("Add", "noise eps", "z")))
    body = onnx.message(*((1, node) for node in nodes)) + key + onnx.varint(len(hidden)) + hidden + last
    with pytest.raises(BundleError, match=r"encoder\.onnx: "):
        reparam.load(tiny(tmp_path / "b", encoder=onnx.model(body + onnx.graph([], inputs, outputs))), device="cpu")


def test_a_late_operator_name_cannot_hide_behind_an_overlong_key(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    name = b"RandomNormalLike"
    node = onnx.node("Identity", "x", "mean") + onnx.varint((4 << 3 | 2) | 1 << 32) + onnx.varint(len(name)) + name
    more = [onnx.node("Sub", "x x", "logvar"), onnx.node("Add", "mean eps", "z")]
    with pytest.raises(BundleError, match=r"encoder\.onnx: "):
        reparam.load(tiny(tmp_path / "b", encoder=onnx.encoder(node, *more)), device="cpu")


def two_faced(onnx: Any, flat: bytes) -> bytes:
    """A file that is an innocent ONNX model to a protobuf reader, and `flat`, a model in onnxruntime's own format.

    onnxruntime takes any bytes with "ORTM" at 4 for a flatbuffer whose first four bytes say where its root lies. As
    protobuf those four bytes open a number that ends with the "O", and "RT" opens an unknown field of 84 bytes.
    """
    word = lambda place, size: int.from_bytes(flat[place : place + size], "little")  # noqa: E731
    root = word(0, 4)
    layout = root - word(root, 4)  # the root's table of offsets lies before it
    where = 0x00808088
    shift = (where + 256) // 16 * 16
    table = bytearray(flat[root : root + word(layout + 2, 2)])
    table[:4] = (where - layout - shift).to_bytes(4, "little", signed=True)
    for entry in range(layout + 4, layout + word(layout, 2), 2):
        if at := word(entry, 2):
            table[at : at + 4] = (word(root + at, 4) + root + shift - where).to_bytes(4, "little")
    head = where.to_bytes(4, "little") + b"ORTM" + bytes(0x54 - 1) + onnx.model(onnx.graph([], [], []))
    size = shift + len(flat)
    head += onnx.varint(6 << 3 | 2) + onnx.varint(size - len(head) - 5)  # the rest is the document string
    out = bytearray(size)
    out[: len(head)], out[where : where + len(table)], out[shift:] = head, table, flat
    return bytes(out)


def test_onnxruntimes_own_format_cannot_be_smuggled_past(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = os.fspath(tmp_path / "encoder.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 4
    nodes = [
        onnx.node("Identity", "x", "mean"),
        onnx.node("Sub", "x x", "logvar"),
        onnx.node("RandomNormalLike", "x", "noise"),
        onnx.node("Add", "noise eps", "z"),
    ]
    onnxruntime.InferenceSession(onnx.encoder(*nodes), options, providers=["CPUExecutionProvider"])
    folder = tiny(tmp_path / "b", encoder=two_faced(onnx, (tmp_path / "encoder.ort").read_bytes()))
    with pytest.raises(BundleError, match=r"encoder\.onnx: "):
        reparam.load(folder, device="cpu")


@given(st.data())
def test_a_changed_graph_with_a_matching_hash_loads_or_is_refused_and_nothing_else(
    tiny: Maker, onnx: Any, scratch: Any, data: Any
) -> None:
    whole = bytearray(onnx.encoder())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    message = "loaded"
    try:
        with reparam.load(tiny(scratch(), encoder=bytes(whole)), device="cpu", threads=1) as vae:
            vae.encode(np.ones((2, 2), np.float32))
    except ReparamError as error:
        message = str(error)
    assert message.isprintable()
