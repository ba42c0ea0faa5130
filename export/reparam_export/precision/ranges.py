"""How large the values inside a graph become, in float32, on given rows: what decides where half precision is safe."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

from reparam.engine.wheel import import_onnxruntime

_EXTREMES: Final = ("ReduceMax", "ReduceMin", "ReduceSum")  # NaN may hide from the first two, and never from a sum

Feeds = Mapping[str, npt.NDArray[Any]]


def largest_values(model: onnx.ModelProto, feeds: Iterable[Feeds]) -> dict[str, float]:
    """The largest magnitude of every float32 value that a node gives, by name; infinite where one was not finite.

    Args:
        model: a float32 graph.
        feeds: inputs by name, a batch each; of each value the graph itself keeps the extremes alone, since all values
            of one large image may take more memory than there is.

    Raises:
        Exception: onnxruntime cannot run the graph.
    """
    watched = onnx.ModelProto.FromString(model.SerializeToString())
    inferred = onnx.shape_inference.infer_shapes(watched).graph
    typed = {value.name: value for value in inferred.value_info}
    given = [name for node in watched.graph.node for name in node.output if name]
    floats = [
        name for name in given if name in typed and typed[name].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    ends = [value.name for value in watched.graph.output if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    names = list(dict.fromkeys([*ends, *floats]))
    del watched.graph.output[:]
    extremes: list[str] = []
    for number, name in enumerate(names):
        for kind in _EXTREMES:
            extreme = f"{kind}_{number}_{name}"  # a name of its own, since no other has its number
            watched.graph.node.append(onnx.helper.make_node(kind, [name], [extreme], keepdims=0))
            watched.graph.output.append(onnx.helper.make_tensor_value_info(extreme, onnx.TensorProto.FLOAT, []))
            extremes.append(extreme)
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: dict[str, float] = {}
    for feed in feeds:
        values = np.array(session.run(extremes, dict(feed))).reshape(len(names), len(_EXTREMES))
        for name, each in zip(names, values, strict=True):
            found[name] = max(found.get(name, 0.0), _largest(each))
    return found


def _largest(extremes: npt.NDArray[np.float32]) -> float:
    """The largest magnitude, of `_EXTREMES` of a value."""
    return float(np.abs(extremes[:2]).max()) if np.isfinite(extremes).all() else np.inf
