"""How large the values inside a graph become, in float32, on given rows: what decides where half precision is safe."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from reparam.arrays import FloatArray
from reparam.engine.wheel import import_onnxruntime

Feeds = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Range:
    """Of one value of a graph, over all rows that were run.

    Attributes:
        largest: the largest magnitude; infinite where a value was not finite.
        smallest: the smallest magnitude above zero; infinite where all are zero.
    """

    largest: float
    smallest: float


def ranges(model: onnx.ModelProto, feeds: Iterable[Feeds]) -> dict[str, Range]:
    """The range of every float32 value that a node gives, by name.

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
    found: dict[str, Range] = {}
    for feed in feeds:
        for name, value in zip(names, session.run(names, dict(feed)), strict=True):
            found[name] = _wider(found.get(name, Range(0.0, np.inf)), value)
    return found


def _wider(old: Range, value: FloatArray) -> Range:
    sizes = np.abs(value)
    if not np.isfinite(sizes).all():
        return Range(np.inf, old.smallest)
    largest = float(sizes.max(initial=0.0))
    smallest = float(sizes.min(initial=np.inf, where=sizes > 0))
    return Range(max(old.largest, largest), min(old.smallest, smallest))
