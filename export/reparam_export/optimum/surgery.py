"""Optimum's graphs as those of the contract: the noise outside, the contract's names, nothing computed otherwise.

Requires: a model of `folder.read_folder`. Ensures: the encoder takes x and eps and gives mean, logvar and z, the
decoder takes z and gives x_hat; opset 13 to 18 as it came (a newer one is converted to 18), ir_version 9.
"""

# pyright: reportUnknownMemberType=false
# (onnx leaves parameters of its helpers untyped)

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter

from reparam.bundle.manifest import Axes
from reparam.errors import ExportError
from reparam_export.optimum.folder import opset_of
from reparam_export.passes.rename import declare, free, rename
from reparam_export.passes.stamp import OPSET

LOGVAR: Final = (-30.0, 20.0)  # diffusers' DiagonalGaussianDistribution clamps so, and the bundle's encoders do


def encoder_of(model: onnx.ModelProto, *, x: Axes, latent: Axes, where: Path) -> onnx.ModelProto:
    """x, eps to mean, logvar = clip(-30, 20) and z = mean + exp(logvar / 2) * eps.

    Args:
        model: optimum's encoder, `sample` to `latent_parameters`; it is not changed.
        x: one row of x: channels, height, width, a dynamic side by its name.
        latent: one row of z.
        where: the file, for messages.

    Raises:
        ExportError: the operator set cannot be brought to 18.
    """
    new = _prepared(model, where)
    graph = new.graph
    rename(graph, {"sample": "x", "latent_parameters": "parameters"}, taken=("eps", "mean", "logvar", "z"))
    channels = latent[0]
    assert isinstance(channels, int)
    for name, value in (
        ("halves", np.array([channels, channels], np.int64)),
        ("lowest", np.array(LOGVAR[0], np.float32)),
        ("highest", np.array(LOGVAR[1], np.float32)),
        ("half", np.array(0.5, np.float32)),
    ):
        graph.initializer.append(numpy_helper.from_array(value, free(graph, name)))
    halves, lowest, highest, half = (tensor.name for tensor in graph.initializer[-4:])
    raw, half_logvar, std, noise = (free(graph, name) for name in ("raw_logvar", "half_logvar", "std", "noise"))
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
    declare(graph, inputs={"x": x, "eps": latent}, outputs=dict.fromkeys(("mean", "logvar", "z"), latent))
    return new


def decoder_of(model: onnx.ModelProto, *, x: Axes, latent: Axes, where: Path) -> onnx.ModelProto:
    """Z to x_hat; arguments and errors as of `encoder_of`."""
    new = _prepared(model, where)
    rename(new.graph, {"latent_sample": "z", "sample": "x_hat"})
    declare(new.graph, inputs={"z": latent}, outputs={"x_hat": x})
    return new


def _prepared(model: onnx.ModelProto, where: Path) -> onnx.ModelProto:
    """A copy at an opset of at most 18, with the standard operator set alone."""
    new = onnx.ModelProto()
    new.CopyFrom(model)
    if opset_of(model) > OPSET:
        try:
            new = version_converter.convert_version(new, OPSET)
        except Exception as error:  # the converter's errors come from C++ and have no common base
            raise ExportError(
                f"{where}: opset must be at most {OPSET}, got {opset_of(model)}, and onnx cannot convert the graph; "
                f"export it again with --opset {OPSET}"
            ) from error
    version = opset_of(new)
    del new.opset_import[:]
    new.opset_import.append(helper.make_opsetid("", version))
    return new
