"""What a graph may hold, decided on its bytes before onnxruntime sees them.

No random operator (randomness is data), no code that other code hides (subgraphs, functions, custom domains), no data
from outside the file. Field numbers are those of onnx.proto3 (onnx 1.23).
"""

from collections.abc import Iterator
from typing import Final

from reparam.bundle import wire
from reparam.bundle.manifest import Graph
from reparam.errors import BundleError

RANDOM_OPERATORS: Final = frozenset(
    {
        "Bernoulli",
        "Dropout",  # random where its training_mode is true
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_STANDARD_DOMAINS: Final = frozenset({"", "ai.onnx"})

# onnx.proto3: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, OperatorSetIdProto
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_TRAINING, _MODEL_FUNCTIONS = 1, 7, 8, 20, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2

# Every field number of each message; a number that is not here could mean something to another reader.
_KNOWN: Final = {
    "model": frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}),
    "graph": frozenset({1, 2, 5, 10, 11, 12, 13, 14, 15, 16}),
    "node": frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}),
    "attribute": frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 20, 21, 22, 23}),
    "tensor": frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16}),
    "operator set": frozenset({1, 2}),
}


def _fields(data: memoryview, message: str) -> Iterator[tuple[int, int | memoryview]]:
    known = _KNOWN[message]
    for number, value in wire.fields(data):
        if number not in known:
            raise ValueError(f"{message}: field {number} is not of ONNX")
        yield number, value


def check_graph(data: bytes, graph: Graph, *, where: str) -> None:
    """Refuses a graph that holds what no graph of this format may hold.

    Args:
        data: the bytes that would be handed to onnxruntime.
        graph: the manifest's entry for the file.
        where: the file, for messages.

    Raises:
        BundleError: with the first finding.
    """
    try:
        _check_model(memoryview(data), graph)
    except ValueError as error:
        raise BundleError(f"{where}: refused: {error}; export the bundle again") from None


def _check_model(data: memoryview, graph: Graph) -> None:
    opsets: list[tuple[str, int]] = []
    ir_version: int | None = None
    graphs = 0
    for number, value in _fields(data, "model"):
        if number == _MODEL_IR and isinstance(value, int):
            ir_version = value
        elif number == _MODEL_GRAPH:
            graphs += 1
            _check_graph(wire.message(value))
        elif number == _MODEL_OPSET:
            opsets.append(_opset(wire.message(value)))
        elif number == _MODEL_FUNCTIONS:
            raise ValueError("functions are not allowed")
        elif number == _MODEL_TRAINING:
            raise ValueError("training graphs are not allowed")
    if graphs != 1:
        raise ValueError(f"a model holds one graph, found {graphs}")
    if [(_domain(domain), version) for domain, version in opsets] != [("", graph.opset)]:
        raise ValueError(f"its operator sets must be the standard one at {graph.opset}, found {opsets}")
    if ir_version != graph.ir_version:
        raise ValueError(f"its ir_version must be {graph.ir_version} as the manifest says, found {ir_version}")


def _domain(domain: str) -> str:
    return "" if domain in _STANDARD_DOMAINS else domain


def _opset(data: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, value in _fields(data, "operator set"):
        if number == _OPSET_DOMAIN:
            domain = wire.text(value)
        elif number == _OPSET_VERSION and isinstance(value, int):
            version = value
    return domain, version


def _check_graph(data: memoryview) -> None:
    for number, value in _fields(data, "graph"):
        if number == _GRAPH_NODE:
            _check_node(wire.message(value))
        elif number == _GRAPH_INITIALIZER:
            _check_tensor(wire.message(value))
        elif number == _GRAPH_SPARSE:
            raise ValueError("sparse data is not allowed")


def _check_node(data: memoryview) -> None:
    operator = domain = ""
    for number, value in _fields(data, "node"):
        if number == _NODE_OPERATOR:
            operator = wire.text(value)
        elif number == _NODE_DOMAIN:
            domain = wire.text(value)
        elif number == _NODE_ATTRIBUTE:
            _check_attribute(wire.message(value))
    if _domain(domain):
        raise ValueError(f"operator {operator} of the custom domain {domain!r} is not allowed")
    if operator in RANDOM_OPERATORS:
        raise ValueError(f"random operator {operator}; noise must come in through eps")


def _check_attribute(data: memoryview) -> None:
    for number, value in _fields(data, "attribute"):
        if number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            raise ValueError("subgraphs (If, Loop, Scan) are not allowed")
        if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            _check_tensor(wire.message(value))
        if number in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
            raise ValueError("sparse data is not allowed")


def _check_tensor(data: memoryview) -> None:
    for number, value in _fields(data, "tensor"):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
            raise ValueError("external data is not allowed; weights belong inside the file")
