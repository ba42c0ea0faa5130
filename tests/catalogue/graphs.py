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
REST = (onnx.node("Identity", "eps", "logvar"), onnx.node("Identity", "eps", "z"))
ROWS = [
    _refused("text", "no protobuf message", "<reason>", b"no graph"),
    _refused("cut", "a message that runs past its end", "a field runs past its message", b"\x08\x09\x3a\x7f"),
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
        "model: field 90 is not allowed",
        encoder() + b"\xd2\x05\x00",
    ),
    _refused("two", "two graphs in one file", "a model holds one graph, found 2", onnx.model(EMPTY, (7, b""))),
    _refused(
        "contract",
        "a graph with other inputs and outputs than the contract's",
        "its inputs must be x, eps, found x",
        other_contract(),
    ),
    _refused(
        "twice",
        "a field that stands twice, of which readers may take either",
        "model: field 1 stands twice",
        b"\x08\x09" + encoder(),
    ),
    _refused(
        "weights",
        "weights with fewer bytes than their shape means",
        "tensor 'w': its shape [2] means 8 bytes, it has 4",
        onnx.model(onnx.graph([], [], [], (5, onnx.message((1, 2), (2, 1), (8, "w"), (9, b"\0" * 4))))),
    ),
    _refused(
        "order",
        "a value that is used before it is made",
        "Identity: takes 'late' before it is made",
        encoder(onnx.node("Identity", "late", "mean"), onnx.node("Identity", "x", "late")),
    ),
    _refused(
        "name-twice",
        "two nodes that make a value of one name",
        "Identity: makes 'mean', which is there already",
        encoder(onnx.node("Identity", "x", "mean"), onnx.node("Identity", "x", "mean")),
    ),
    _refused(
        "attribute",
        "an attribute that the operator's row of the list does not have",
        "Identity: attribute 'axis' of kind int is not on the list",
        encoder(onnx.node("Identity", "x", "mean", (5, onnx.message((1, "axis"), (3, 1), (20, 2))))),
    ),
    _row(
        "unlisted",
        "an operator that is not on the gate's list",
        "refused: operator NoSuchOperator is not on the list of those that random graphs could not bring down; "
        'trust="exporter" takes it from someone you trust',
        encoder(onnx.node("NoSuchOperator", "x", "mean"), *REST),
    ),
    _row(
        "onnxruntime",
        "an operator that the gate was told to let through and onnxruntime does not know",
        "onnxruntime cannot load it: <reason>; export the bundle again",
        encoder(onnx.node("NoSuchOperator", "x", "mean"), *REST),
        "reparam generate AT/bundle 3 --seed 7 --out AT/new.npy --device cpu --trust exporter",
    ),
]
