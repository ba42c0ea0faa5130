"""Optimum's graphs as those of the contract: the noise outside, the contract's names, nothing computed otherwise.

Requires: a model of `folder.read_folder`. Ensures: the encoder takes x and eps and gives mean, logvar and z, the
decoder takes z and gives x_hat; opset 13 to 18 as it came (a newer one is converted to 18), ir_version 9.
"""

# pyright: reportUnknownMemberType=false
# (onnx leaves parameters of its helpers untyped)

from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter

from reparam.errors import ExportError
from reparam_export.optimum.folder import opset_of
from reparam_export.passes.stamp import OPSET

LOGVAR: Final = (-30.0, 20.0)  # diffusers' DiagonalGaussianDistribution clamps so, and the bundle's encoders do
Axes = tuple[int | str, ...]


def encoder_of(model: onnx.ModelProto, *, x: Axes, latent: Axes) -> onnx.ModelProto:
    """x, eps to mean, logvar = clip(-30, 20) and z = mean + exp(logvar / 2) * eps.

    Args:
        model: optimum's encoder, `sample` to `latent_parameters`; it is not changed.
        x: one row of x: channels, height, width, a dynamic side by its name.
        latent: one row of z.

    Raises:
        ExportError: the operator set cannot be brought to 18.
    """
    new = _prepared(model)
    graph = new.graph
    _rename(graph, {"sample": "x", "latent_parameters": "parameters"}, taken=("eps", "mean", "logvar", "z"))
    channels = latent[0]
    assert isinstance(channels, int)
    for name, value in (
        ("halves", np.array([channels, channels], np.int64)),
        ("lowest", np.array(LOGVAR[0], np.float32)),
        ("highest", np.array(LOGVAR[1], np.float32)),
        ("half", np.array(0.5, np.float32)),
    ):
        graph.initializer.append(numpy_helper.from_array(value, _free(graph, name)))
    halves, lowest, highest, half = (tensor.name for tensor in graph.initializer[-4:])
    raw, half_logvar, std, noise = (_free(graph, name) for name in ("raw_logvar", "half_logvar", "std", "noise"))
    graph.node.extend(
        [
            helper.make_node("Split", ["parameters", halves], ["mean", raw], axis=1),
            helper.make_node("Clip", [raw, lowest, highest], ["logvar"]),
            helper.make_node("Mul", ["logvar", half], [half_logvar]),
            helper.make_node("Exp", [half_logvar], [std]),
            helper.make_node("Mul", [std, "eps"], [noise]),
            helper.make_node("Add", ["mean", noise], ["z"]),
        ]
    )
    _declare(graph, inputs={"x": x, "eps": latent}, outputs=dict.fromkeys(("mean", "logvar", "z"), latent))
    return new


def decoder_of(model: onnx.ModelProto, *, x: Axes, latent: Axes) -> onnx.ModelProto:
    """Z to x_hat; arguments and errors as of `encoder_of`."""
    new = _prepared(model)
    _rename(new.graph, {"latent_sample": "z", "sample": "x_hat"}, taken=())
    _declare(new.graph, inputs={"z": latent}, outputs={"x_hat": x})
    return new


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy at an opset of at most 18, with the standard operator set alone."""
    new = onnx.ModelProto()
    new.CopyFrom(model)
    if opset_of(model) > OPSET:
        try:
            new = version_converter.convert_version(new, OPSET)
        except Exception as error:  # the converter's errors come from C++ and have no common base
            reason = str(error).splitlines()[0][:200]
            raise ExportError(
                f"{model.graph.name}: opset {opset_of(model)} cannot be brought to {OPSET} ({reason}); "
                f"export it again with --opset {OPSET}"
            ) from error
    version = opset_of(new)
    del new.opset_import[:]
    new.opset_import.append(helper.make_opsetid("", version))
    return new


def _rename(graph: onnx.GraphProto, names: dict[str, str], *, taken: tuple[str, ...]) -> None:
    """Renames tensors everywhere; whatever else has one of the new names, or a taken one, makes room."""
    there = _names(graph)
    for name in {*names.values(), *taken} & there:
        if name not in names:
            names[name] = _free(graph, f"inner_{name}")
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for part in (*graph.initializer, *graph.input, *graph.output):
        part.name = names.get(part.name, part.name)


def _names(graph: onnx.GraphProto) -> set[str]:
    tensors = {part.name for part in (*graph.initializer, *graph.input, *graph.output)}
    return tensors | {name for node in graph.node for name in (*node.input, *node.output)}


def _free(graph: onnx.GraphProto, name: str) -> str:
    """The name itself, or the first with a number behind it that nothing has."""
    there, found, number = _names(graph), name, 1
    while found in there:
        found, number = f"{name}_{number}", number + 1
    return found


def _declare(graph: onnx.GraphProto, *, inputs: dict[str, Axes], outputs: dict[str, Axes]) -> None:
    """States inputs and outputs anew, float32 with a dynamic batch, in this order."""
    for values, wanted in ((graph.input, inputs), (graph.output, outputs)):
        del values[:]
        for name, axes in wanted.items():
            values.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *axes]))
