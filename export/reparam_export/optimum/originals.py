"""Optimum's own graphs, running as they came: what the imported ones are held against, once those are past the gate."""

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import onnx

from reparam.bundle.golden import Case, Vectors
from reparam.bundle.manifest import Manifest
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import ExportError
from reparam_export.inputs import keyed_cases, keyed_inputs
from reparam_export.optimum.folder import Folder
from reparam_export.optimum.surgery import LOGVAR
from reparam_export.passes.strip import strip


def originals(folder: Folder, manifest: Manifest) -> dict[Case, Vectors]:
    """x, eps, mean, logvar, z and x_hat by case: both graphs as they came, what lies between them in numpy.

    Raises:
        ExportError: onnxruntime cannot run a graph, or sides are not what config.json says.
    """
    encode, decode = _session(folder.encoder), _session(folder.decoder)
    found: dict[Case, Vectors] = {}
    try:
        for case, rows in keyed_cases(manifest).items():
            inputs = keyed_inputs(manifest, rows, case.size)
            parameters: npt.NDArray[np.float32] = encode.run(None, {"sample": inputs["x"]})[0]
            mean, raw = np.split(parameters, 2, axis=1)
            logvar = np.clip(raw, np.float32(LOGVAR[0]), np.float32(LOGVAR[1]))
            if mean.shape != inputs["eps"].shape:
                _refuse_sides(folder, inputs["x"], mean)
            z = mean + np.exp(logvar / 2) * inputs["eps"]
            x_hat = decode.run(None, {"latent_sample": z})[0]
            if x_hat.shape != inputs["x"].shape:
                _refuse_sides(folder, x_hat, mean)
            found[case] = {**inputs, "mean": mean, "logvar": logvar, "z": z, "x_hat": x_hat}
    except (RuntimeError, ValueError) as error:  # onnxruntime's own errors are of the first kind
        raise ExportError(f"{folder.place}: its graphs fail at small sizes: {str(error).splitlines()[0]}") from error
    return found


def _refuse_sides(folder: Folder, x: npt.NDArray[Any], latent: npt.NDArray[Any]) -> NoReturn:
    levels = len(folder.config.block_out_channels)
    raise ExportError(
        f"{folder.place}: its graphs have {list(x.shape[1:])} for a latent of {list(latent.shape[1:])}, but "
        f"block_out_channels in config.json has {levels} levels, a factor of {2 ** (levels - 1)}; take the model's own"
    )


def _session(model: onnx.ModelProto) -> Any:
    """A graph on the CPU, without optimisation: nothing that the imported graph's session rewrites is shared."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # its messages reach us as exceptions
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnx.ModelProto.FromString(model.SerializeToString())
    strip(plain)  # what the gate saw of it is what runs: nodes and weights, not hints of their shapes
    try:
        return onnxruntime.InferenceSession(plain.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise ExportError(f"{model.graph.name}: onnxruntime cannot load it: {str(error).splitlines()[0]}") from error
