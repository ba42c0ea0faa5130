"""What a graph may hold, decided on its bytes before onnxruntime sees them.

A strict walk over the wire format: known fields, each singular one once; one standard operator set; operators on the
list of `operators.py` alone, none of them random (randomness is data); no code that other code hides (subgraphs,
functions, custom domains); no data from outside the file; weights of exactly their shape's bytes; every value made
before it is used, and once. Field numbers are those of onnx.proto3 (onnx 1.23).
"""

import dataclasses
from typing import Final

from reparam.bundle import wire
from reparam.bundle.manifest import Graph, Manifest
from reparam.bundle.nodes import RANDOM_OPERATORS, Settled, UnlistedError, read_node
from reparam.bundle.operators import HIGHEST_OPSET, LOWEST_OPSET
from reparam.bundle.outline import Admitted, Node, Outline, Tensor
from reparam.bundle.tensors import read_tensor, read_value
from reparam.bundle.wire import BYTES, VARINT, key
from reparam.errors import BundleError

__all__ = ["RANDOM_OPERATORS", "Promised", "check_graph", "promised"]

MOST_NODES: Final = 8192
MOST_TENSORS: Final = 16384
MOST_BYTES: Final = 4 << 20  # of all that is no weight

_IR, _PRODUCER, _VERSION, _GRAPH = key(1, VARINT), key(2, BYTES), key(3, BYTES), key(7, BYTES)
_OPSET, _METADATA = key(8, BYTES), key(14, BYTES)
_MODEL_REFUSED: Final = {
    key(20, BYTES): "training graphs are not allowed",
    key(25, BYTES): "functions are not allowed",
}
_NODE, _NAME, _INITIALIZER, _INPUT, _OUTPUT = (key(number, BYTES) for number in (1, 2, 5, 11, 12))
_GRAPH_REFUSED: Final = {key(15, BYTES): "sparse data is not allowed"}
# onnxruntime reads settings of a session out of metadata too, under a key of its own
_METADATA_KEYS: Final = frozenset({"format", "role", "id"})


@dataclasses.dataclass(frozen=True)
class Promised:
    """What is said of a graph where it is named: its versions, and the names of its inputs and outputs in order."""

    opset: int
    ir_version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def promised(graph: Graph, manifest: Manifest) -> Promised:
    """What a manifest says of one of its graphs."""
    if graph.role == "encoder":
        names = tuple(manifest.encoder_inputs), tuple(manifest.encoder_outputs)
    else:
        names = ("z",), tuple(manifest.decoder_outputs)
    return Promised(graph.opset, graph.ir_version, *names)


def check_graph(data: bytes, promised: Promised, *, where: str, strict: bool = True) -> Admitted:
    """Refuses a graph that holds what no graph of this format may hold.

    Args:
        data: the bytes that would be handed to onnxruntime.
        promised: versions and names that it must have.
        where: the file, for messages.
        strict: whether every operator must be on the list; nothing else becomes looser without.

    Returns:
        The bytes, with what was found in them.

    Raises:
        BundleError: with the first finding.
    """
    try:
        outline = _read_model(data, promised, strict=strict)
        _check_names(outline, promised)
        _check_order(outline)
    except UnlistedError as error:
        raise BundleError(f'{where}: refused: {error}; trust="exporter" takes it from someone you trust') from None
    except ValueError as error:
        raise BundleError(f"{where}: refused: {error}; export the bundle again") from None
    return Admitted(data, outline, strict)


def _read_model(data: bytes, promised: Promised, *, strict: bool) -> Outline:
    opsets: list[tuple[str, int]] = []
    numbers: dict[int, int] = {}
    bodies: list[tuple[int, int]] = []
    for tag, first, last in wire.fields(data, 0, len(data), most=64):
        if tag == _GRAPH:
            bodies.append((first, last))
        elif tag == _OPSET:
            opsets.append(_read_opset(data, first, last))
        elif tag == _METADATA:
            _check_metadata(data, first, last)
        elif tag in (_IR, _PRODUCER, _VERSION):
            if tag in numbers:
                raise ValueError(f"model: field {tag >> 3} stands twice")
            numbers[tag] = first
            if tag != _IR:
                wire.text(data, first, last)
        else:
            raise ValueError(_MODEL_REFUSED.get(tag, f"model: field {tag >> 3} is not allowed"))
    if len(bodies) != 1:
        raise ValueError(f"a model holds one graph, found {len(bodies)}")
    _check_versions(promised, opsets, numbers.get(_IR))
    return _read_graph(data, *bodies[0], opset=promised.opset, strict=strict)


def _check_versions(promised: Promised, opsets: list[tuple[str, int]], ir_version: int | None) -> None:
    if [("" if domain == "ai.onnx" else domain, version) for domain, version in opsets] != [("", promised.opset)]:
        raise ValueError(f"its operator sets must be the standard one at {promised.opset}, found {opsets}")
    if not LOWEST_OPSET <= promised.opset <= HIGHEST_OPSET:
        raise ValueError(f"its operator set must be {LOWEST_OPSET} to {HIGHEST_OPSET}, found {promised.opset}")
    if ir_version != promised.ir_version:
        raise ValueError(f"its ir_version must be {promised.ir_version} as the manifest says, found {ir_version}")


def _read_opset(data: bytes, first: int, last: int) -> tuple[str, int]:
    domain, version = "", 0
    listed = wire.fields(data, first, last, most=2)
    for tag, start, end in listed:
        if tag == key(1, BYTES):
            domain = wire.text(data, start, end)
        elif tag == key(2, VARINT):
            version = start
        else:
            raise ValueError(f"operator set: field {tag >> 3} is not allowed")
    if len({field[0] for field in listed}) != len(listed):
        raise ValueError("operator set: a field stands twice")
    return domain, version


def _check_metadata(data: bytes, first: int, last: int) -> None:
    pair = wire.fields(data, first, last, most=2)
    if [field[0] for field in pair] != [key(1, BYTES), key(2, BYTES)]:
        raise ValueError("metadata: must be a key and a value")
    name = wire.text(data, *pair[0][1:])
    wire.text(data, *pair[1][1:])
    if name not in _METADATA_KEYS:
        raise ValueError(f"metadata: key {name!r} is not one of {', '.join(sorted(_METADATA_KEYS))}")


def _read_graph(data: bytes, first: int, last: int, *, opset: int, strict: bool) -> Outline:
    nodes: list[Node] = []
    settled: Settled = {}
    tensors: dict[str, Tensor] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    named, size = False, 0
    for tag, start, end in wire.fields(data, first, last, most=MOST_NODES + MOST_TENSORS + 64):
        if tag == _INITIALIZER:
            name, tensor = read_tensor(data, start, end)
            if name in tensors or not name:
                raise ValueError(f"tensor {name!r}: has no name of its own")
            tensors[name] = tensor
            continue
        size += end - start
        if size > MOST_BYTES:
            raise ValueError(f"has more than {MOST_BYTES} bytes beside its weights")
        if tag == _NODE:
            nodes.append(read_node(data, start, end, strict=strict, settled=settled))
        elif tag in (_INPUT, _OUTPUT):
            (inputs if tag == _INPUT else outputs).append(read_value(data, start, end))
        elif tag == _NAME and not named:
            named = bool(wire.text(data, start, end)) or True
        else:
            raise ValueError(_GRAPH_REFUSED.get(tag, f"graph: field {tag >> 3} stands twice or is not allowed"))
    if len(nodes) > MOST_NODES or len(tensors) > MOST_TENSORS:
        raise ValueError(f"has more than {MOST_NODES} nodes or {MOST_TENSORS} tensors")
    return Outline(opset, tuple(inputs), tuple(outputs), tensors, nodes)


def _check_names(outline: Outline, promised: Promised) -> None:
    """Inputs and outputs as the contract names them."""
    for kind, found, names in (
        ("inputs", outline.inputs, promised.inputs),
        ("outputs", outline.outputs, promised.outputs),
    ):
        if found != names:
            raise ValueError(f"its {kind} must be {', '.join(names)}, found {', '.join(found) or 'none'}")


def _check_order(outline: Outline) -> None:
    """Each value made once, before it is used."""
    made = {*outline.inputs, *outline.tensors}
    if len(made) != len(outline.inputs) + len(outline.tensors):
        raise ValueError("a tensor has the name of an input")
    for node in outline.nodes:
        for name in node.inputs:
            if name and name not in made:
                raise ValueError(f"{node.operator}: takes {name!r} before it is made")
        for name in filter(None, node.outputs):  # one that is left out has no name, off the list
            if name in made:
                raise ValueError(f"{node.operator}: makes {name!r}, which is there already")
            made.add(name)
    for name in outline.outputs:
        if name not in made:
            raise ValueError(f"its output {name} is never made")
        if name in outline.tensors or name in outline.inputs:
            raise ValueError(f"its output {name} is no result of a node")
