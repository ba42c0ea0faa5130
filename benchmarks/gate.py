"""What the gate costs beyond reading and hashing, on models/mnist, for each node, and on 100 MB; `make bench-gate`.

The gate is the walk over a graph's bytes, and the sizes of all its values. Arms are interleaved and their medians
compared. The graph of many nodes is a chain of residual blocks as exported ones have them (convolutions, group norm by
way of Reshape and InstanceNormalization, SiLU, addition).
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reparam.bundle.gate import Promised, check_graph, promised
from reparam.bundle.outline import FLOAT32
from reparam.bundle.reader import read_bundle
from reparam.bundle.sizes.walk import Walk
from reparam.engine.memory import Budget, check_memory
from reparam.testing.messages import floats, graph, integers, message, model, node, value

MNIST = Path(__file__).resolve().parents[1] / "models" / "mnist"
NAMES = ("z",), ("x_hat",)
PROMISED = Promised(18, 9, *NAMES)


def medians(*calls: Callable[[], object], rounds: int) -> list[float]:
    """Median seconds of processor time of calls taken in turn; the first tenth is not counted."""
    found: list[list[float]] = [[] for _ in calls]
    for turn in range(-rounds // 10, rounds):
        for call, seconds in zip(calls, found, strict=True):
            begin = time.thread_time()
            call()
            if turn >= 0:
                seconds.append(time.thread_time() - begin)
    return [statistics.median(seconds) for seconds in found]


def chain(blocks: int) -> bytes:
    """A decoder of z [batch, 8, 16, 16] to x_hat of the same shape, nine nodes a block."""

    def integer(name: str, number: int) -> bytes:
        return message((1, name), (20, 2), (3, number))

    def several(name: str, *numbers: int) -> bytes:
        return message((1, name), (20, 7), *((8, each) for each in numbers))

    conv = [
        several("dilations", 1, 1),
        integer("group", 1),
        several("kernel_shape", 3, 3),
        several("pads", 1, 1, 1, 1),
        several("strides", 1, 1),
    ]
    tensors = [integers("grouped", 0, 2, -1), floats("one", [1.0, 1.0]), floats("zero", [0.0, 0.0])]
    tensors += [integers("whole", -1, 8, 16, 16), floats("gain", np.ones((8, 1, 1))), floats("bias", np.zeros(8))]
    nodes, last = list[bytes](), "z"
    for number in range(blocks):
        a = [f"/decoder/block.{number}/value_{place}" for place in range(9)]
        tensors.append(floats(f"decoder.block.{number}.conv.weight", np.zeros((8, 8, 3, 3))))
        nodes += [
            node("Reshape", f"{last} grouped", a[0], (5, integer("allowzero", 0))),
            node("InstanceNormalization", f"{a[0]} one zero", a[1]),
            node("Reshape", f"{a[1]} whole", a[2], (5, integer("allowzero", 0))),
            node("Mul", f"{a[2]} gain", a[3]),
            node("Sigmoid", a[3], a[4]),
            node("Mul", f"{a[3]} {a[4]}", a[5]),
            node("Conv", f"{a[5]} decoder.block.{number}.conv.weight bias", a[6], *((5, each) for each in conv)),
            node("Add", f"{a[6]} {last}", a[7]),
            node("Identity", a[7], a[8] if number < blocks - 1 else "x_hat"),
        ]
        last = a[8]
    inputs, outputs = ([value(name, "batch", 8, 16, 16)] for name in ("z", "x_hat"))
    return model(graph(nodes, inputs, outputs, *((5, tensor) for tensor in tensors)))


def mnist() -> dict[str, float]:
    """Milliseconds of both fp32 graphs of models/mnist."""
    bundle = read_bundle(MNIST, precisions=("fp32",))
    graphs = [
        (bundle.files[entry.file], promised(entry, bundle.manifest))
        for entry in bundle.manifest.graphs
        if entry.file in bundle.files
    ]

    def gate() -> None:
        for data, names in graphs:
            check_graph(data, names, where="graph")

    as_loaded = Budget(256, None)
    walk, sizes = medians(gate, lambda: check_memory(bundle, "fp32", as_loaded, on_host=True), rounds=400)
    return {"gate_ms": 1e3 * walk, "sizes_ms": 1e3 * sizes, "both_ms": 1e3 * (walk + sizes)}


def nodes(blocks: int = 120) -> dict[str, float]:
    """Microseconds of a node in a graph of many."""
    data = chain(blocks)
    admitted = check_graph(data, PROMISED, where="graph")
    count = len(admitted.outline.nodes)
    shape = {"z": (FLOAT32, (1, 8, 16, 16))}
    gate, sizes = medians(
        lambda: check_graph(data, PROMISED, where="graph"), lambda: Walk(admitted).measure(shape), rounds=30
    )
    each = 1e6 / count
    return {"nodes": count, "gate_us": each * gate, "sizes_us": each * sizes, "both_us": each * (gate + sizes)}


def large() -> dict[str, float]:
    """Hash, gate and sizes of 100 MB of weights, against the hash alone."""
    import hashlib

    weights = np.random.default_rng(0).standard_normal((5000, 5000)).astype(np.float32)
    inputs, outputs = ([value(name, "batch", 5000)] for name in NAMES[0] + NAMES[1])
    data = model(graph([node("MatMul", "z W", "x_hat")], inputs, outputs, (5, floats("W", weights))))
    shape = {"z": (FLOAT32, (1, 5000))}

    def both() -> None:
        hashlib.sha256(data).hexdigest()
        Walk(check_graph(data, PROMISED, where="graph")).measure(shape)

    alone, whole = medians(lambda: hashlib.sha256(data).hexdigest(), both, rounds=9)
    return {"bytes": len(data), "sha256_s": alone, "sha256_and_gate_s": whole, "ratio": whole / alone}


if __name__ == "__main__":
    print(json.dumps({"models/mnist": mnist(), "many nodes": nodes(), "100 MB": large()}, indent=2))
