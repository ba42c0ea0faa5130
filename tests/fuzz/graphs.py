"""Random graphs within the gate's limits, loaded and run: none may end the process, hang, or have sizes of its own.

python tests/fuzz/graphs.py --count 50000
"""

import argparse
import collections
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from children import main, wrong
from drawing import Drawn
from operands import draw

from reparam.bundle.gate import check_graph, promised
from reparam.bundle.manifest import Gaussian, Golden, Graph, Input, Latent, Manifest
from reparam.bundle.outline import FLOAT32, Admitted
from reparam.bundle.sizes.walk import Walk
from reparam.engine.device import Device
from reparam.engine.pair import encoder_contract
from reparam.engine.session import GraphSession
from reparam.errors import BundleError, RunError

TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
BUDGET = 2**28  # bytes


def manifest_of(drawn: Drawn) -> Manifest:
    entry = Graph(
        role="encoder", file="encoder.onnx", precision="fp32", opset=drawn.opset, ir_version=9, bytes=1, sha256="0" * 64
    )
    return Manifest(
        name="fuzz",
        id="0" * 32,
        deterministic=False,
        input=Input(shape=drawn.row, layout="features"),
        latent=Latent(shape=drawn.row),
        likelihood=Gaussian(std=1.0),
        graphs=(entry,),
        golden=Golden(file="golden.npz", bytes=1, sha256="0" * 64, source="onnx", batches=(1,)),
        verification=(),
        versions={},
    )


def case(seed: int, number: int) -> str:
    """Draws, checks, loads and runs one graph."""
    drawn = draw(seed, number)
    manifest = manifest_of(drawn)
    rng = np.random.default_rng((seed, number))
    rows = (int(rng.integers(1, 4)),)
    try:
        graph = check_graph(drawn.data, promised(manifest.graphs[0], manifest), where="graph")
    except BundleError as error:
        if "names" in str(error):
            wrong(str(error))
        return "refused"
    shape = (*rows, *drawn.row)
    try:
        for batch in {1, *rows}:
            memory = Walk(graph).measure(dict.fromkeys(("x", "eps"), (FLOAT32, (batch, *drawn.row))))
            if memory is not None and memory.total > BUDGET:
                return "too-large"
    except ValueError:
        return "refused-sizes"
    x = rng.standard_normal(shape).astype(np.float32)
    if rng.random() < 0.2:
        x.flat[rng.integers(x.size)] = rng.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 2**31, 1e10])
    if number % 2:
        return whole(graph, manifest, x)
    return bare(drawn, x)


def whole(graph: Admitted, manifest: Manifest, x: npt.NDArray[Any]) -> str:
    """As a bundle's encoder, optimised as users run it."""
    try:
        session = GraphSession(graph, encoder_contract(manifest), device=Device("cpu"), threads=1, where="graph")
    except BundleError:
        return "unloadable"
    try:
        session.run(["mean", "logvar", "z"], {"x": x, "eps": x})
    except RunError:
        return "failed"
    return "ran"


def bare(drawn: Drawn, x: npt.NDArray[Any]) -> str:
    """With every value as an output, whose shapes and types must be those of the rules."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(drawn.every, options, providers=["CPUExecutionProvider"])
    except Exception:
        return "unloadable-bare"
    try:
        found = session.run(None, {"x": x, "eps": x})
    except Exception:
        return "failed-bare"
    manifest = manifest_of(drawn)
    graph = check_graph(drawn.data, promised(manifest.graphs[0], manifest), where="graph")
    sizes: dict[str, Any] = {}
    Walk(graph).measure(dict.fromkeys(("x", "eps"), (FLOAT32, x.shape)), told=sizes)
    for name, array in zip(drawn.values, found, strict=True):
        size = sizes[name]
        if array.shape != size.shape or array.dtype.name != TYPES[size.dtype]:
            wrong(f"{name} of {drawn.operators}: {array.dtype.name} {array.shape}, the rule says {size}")
        elif size.values is not None and not np.array_equal(array.ravel(), np.array(size.values), equal_nan=True):
            wrong(f"{name} of {drawn.operators}: {array.ravel()}, the rule says {size.values}")
    return "ran-bare"


def operators(seed: int, count: int) -> collections.Counter[str]:
    """How often each operator stands in the graphs of a seed."""
    return collections.Counter(name for number in range(count) for name in draw(seed, number).operators)


if __name__ == "__main__":
    main(__file__, case, argparse.ArgumentParser(), count=50_000)
