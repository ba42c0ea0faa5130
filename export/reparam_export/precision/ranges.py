"""How large the values inside a graph become, in float32, on given rows: what decides where half precision is safe."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from reparam.engine.wheel import import_onnxruntime

Feeds = Mapping[str, npt.NDArray[Any]]


def largest_values(model: onnx.ModelProto, feeds: Iterable[Feeds]) -> dict[str, float]:
    """The largest magnitude of every float32 value that a node gives, by name; infinite where one was not finite.

    Args:
        model: a float32 graph.
        feeds: inputs by name, a batch each; all values of a batch are in memory at once.

    Raises:
        Exception: onnxruntime cannot run the graph.
    """
    watched = onnx.ModelProto.FromString(model.SerializeToString())
    inferred = onnx.shape_inference.infer_shapes(watched).graph
    typed = {value.name: value for value in inferred.value_info}
    outputs = {value.name for value in watched.graph.output}
    given = [name for node in watched.graph.node for name in node.output if name]
    floats = [
        name for name in given if name in typed and typed[name].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    for name in floats:
        if name not in outputs:
            watched.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    ends = [value.name for value in watched.graph.output if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    names = list(dict.fromkeys([*ends, *floats]))
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: dict[str, float] = {}
    for feed in feeds:
        for name, value in zip(names, session.run(names, dict(feed)), strict=True):
            found[name] = max(found.get(name, 0.0), _largest(value))
    return found


def _largest(value: npt.NDArray[Any]) -> float:
    return float(np.abs(value).max(initial=0.0)) if np.isfinite(value).all() else np.inf
