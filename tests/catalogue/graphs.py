"""What may be wrong with a graph whose size and hash are right: what the gate and the contract refuse.

A further row is a line in ROWS: the graph's bytes and the words of the refusal.
"""

from catalogue.row import Place, Row
from reparam.testing import messages as onnx

SHAPE = (1, 8, 8)


def encoder(*nodes: bytes, **options: int) -> bytes:
    """A graph with the encoder's inputs and outputs around these nodes."""
    x, eps = onnx.value("x", "batch", *SHAPE), onnx.value("eps", "batch", 2)
    outputs = [onnx.value(name, "batch", 2) for name in ("mean", "logvar", "z")]
    return onnx.model(onnx.graph(list(nodes), [x, eps], outputs), **options)


def subgraph() -> bytes:
    inner = onnx.graph([], [], [])
    return encoder(onnx.node("If", "x", "mean", (5, onnx.message((1, "then_branch"), (6, inner)))))


def outside() -> bytes:
    where = onnx.message((13, onnx.message((1, "location"), (2, "/etc/passwd"))))
    return onnx.model(onnx.graph([], [], [], (5, onnx.integers("w", 1) + where)))


def other_contract() -> bytes:
    x = onnx.value("x", "batch", *SHAPE)
    return onnx.model(onnx.graph([onnx.node("Identity", "x", "y")], [x], [onnx.value("y", "batch", *SHAPE)]))


def _row(key: str, fault: str, refusal: str, data: bytes, way: str = "reparam info AT/bundle") -> Row:
    def make(place: Place) -> None:
        place.graph(data)

    return Row(
        key=f"graph-{key}", fault=fault, way=way, message=f"AT/bundle/encoder.onnx: {refusal}", code=3, make=make
    )


def _refused(key: str, fault: str, reason: str, data: bytes) -> Row:
    return _row(key, fault, f"refused: {reason}; export the bundle again", data)


EMPTY = onnx.graph([], [], [])
ROWS = [
    _refused("text", "no protobuf message", "<reason>", b"no graph"),
    _refused("cut", "a message that runs past its end", "field 7 runs past its message", b"\x08\x09\x3a\x7f"),
    _refused(
        "random",
        "a random operator",
        "random operator RandomNormalLike; noise must come in through eps",
        encoder(onnx.node("RandomNormalLike", "x", "mean")),
    ),
    _refused("subgraph", "a subgraph", "subgraphs (If, Loop, Scan) are not allowed", subgraph()),
    _refused(
        "outside", "weights in another file", "external data is not allowed; weights belong inside the file", outside()
    ),
    _refused("function", "a function", "functions are not allowed", onnx.model(EMPTY, (25, b""))),
    _refused("training", "a training graph", "training graphs are not allowed", onnx.model(EMPTY, (20, b""))),
    _refused("sparse", "sparse weights", "sparse data is not allowed", onnx.model(onnx.graph([], [], [], (15, b"")))),
    _refused(
        "domain",
        "an operator of another domain",
        "operator Gelu of the custom domain 'com.microsoft' is not allowed",
        encoder(onnx.node("Gelu", "x", "mean", (7, "com.microsoft"))),
    ),
    _refused(
        "opset",
        "another operator set than the manifest says",
        "its operator sets must be the standard one at 18, found [('', 17)]",
        encoder(opset=17),
    ),
    _refused(
        "ir-version",
        "another ir_version than the manifest says",
        "its ir_version must be 9 as the manifest says, found 10",
        encoder(ir_version=10),
    ),
    _refused(
        "unknown-field",
        "a field that ONNX does not have",
        "<part>: field 90 is not of ONNX",
        encoder() + b"\xd2\x05\x00",
    ),
    _refused("two", "two graphs in one file", "a model holds one graph, found 2", onnx.model(EMPTY, (7, b""))),
    _row(
        "contract",
        "a graph with other inputs and outputs than the contract's",
        "inputs must be <contract> with a dynamic batch, found <names>",
        other_contract(),
        "reparam generate AT/bundle 3 --seed 7 --out AT/new.npy --device cpu",
    ),
    _row(
        "onnxruntime",
        "an operator that onnxruntime does not know",
        "onnxruntime cannot load it: <reason>; export the bundle again",
        encoder(onnx.node("NoSuchOperator", "x", "mean")),
        "reparam generate AT/bundle 3 --seed 7 --out AT/new.npy --device cpu",
    ),
]
