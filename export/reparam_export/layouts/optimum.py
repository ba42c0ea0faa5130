"""The folder that ORT pipelines of optimum read: vae_encoder and vae_decoder, each a graph and its config.json.

The encoder's reparameterisation is cut off: the pipelines take mean and logvar side by side as `latent_parameters` and
draw the noise themselves. They hand over images in [-1, 1]; where the model's range is another, both graphs convert.
"""

# pyright: reportUnknownMemberType=false
# (onnx leaves parameters of its helpers untyped)

import json
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.utils import Extractor

from reparam.bundle.manifest import Manifest, Precision
from reparam.bundle.reader import Bundle
from reparam.engine.session import Contract
from reparam.errors import OptionError
from reparam_export.checks import check_graph
from reparam_export.inputs import Described
from reparam_export.layouts.optimum_proof import prove_pipeline_graphs
from reparam_export.passes.rename import declare, free, rename
from reparam_export.passes.shape_of_eps import read_shape_off_x
from reparam_export.passes.stamp import name_parts
from reparam_export.passes.strip import strip

_FORMAT: Final = "reparam-layout/1"


def optimum_files(bundle: Bundle, precision: Precision) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The folder's files by path; no empty folders.

    Args:
        bundle: read with the graphs of the precision and the golden vectors.
        precision: which graphs to write.

    Raises:
        OptionError: rows that no pipeline works on: no images, a latent without sides, other noise than normal.
        VerificationError: a rewritten graph's numbers differ from the bundle's golden vectors.
    """
    manifest = bundle.manifest
    config = json.dumps(pipeline_config(manifest), indent=2).encode() + b"\n"
    x, latent, factors = manifest.input_axes, manifest.latent_axes, manifest.input.factors
    parameters = (2 * manifest.latent.shape[0], *latent[1:])
    encoder = Contract("encoder", {"sample": x}, {"latent_parameters": parameters}, factors)
    decoder = Contract("decoder", {"latent_sample": latent}, {"sample": x}, factors)
    models = {
        "encoder": _encoder(onnx.load_model_from_string(bundle.graph("encoder", precision).data), encoder, manifest),
        "decoder": _decoder(onnx.load_model_from_string(bundle.graph("decoder", precision).data), decoder, manifest),
    }
    graphs = {role: model.SerializeToString(deterministic=True) for role, model in models.items()}
    prove_pipeline_graphs(bundle, precision, (encoder, graphs["encoder"]), (decoder, graphs["decoder"]))
    files: dict[str, bytes] = {}
    for role, data in graphs.items():
        files |= {f"vae_{role}/model.onnx": data, f"vae_{role}/config.json": config}
    return files, ()


def pipeline_config(described: Described) -> dict[str, object]:
    """config.json, as of diffusers' AutoencoderKL: what pipelines ask of it; of the levels only their number is known.

    Raises:
        OptionError: the model is none for a pipeline.
    """
    shape, latent = described.input.shape, described.latent.shape
    if described.input.layout != "channels_first" or len(shape) != 3 or len(latent) != 3:
        raise OptionError(
            "layout: optimum's pipelines work on float images [channels, height, width] with a latent of such axes, "
            f"this bundle has {list(shape)} and {list(latent)}; take triton"
        )
    if described.latent.noise != "normal":
        found = described.latent.noise or "none: a plain autoencoder"
        raise OptionError(f"layout: optimum's pipelines draw normal noise, this bundle's is {found}; take triton")
    if described.input.low is None or described.input.high is None:
        raise OptionError("layout: optimum's pipelines give images in [-1, 1]; this bundle's range is not recorded")
    factor = shape[1] // latent[1]
    levels = factor.bit_length()
    whole = all(side == factor * inner for side, inner in zip(shape[1:], latent[1:], strict=True))
    if not whole or factor != 1 << (levels - 1):
        raise OptionError(
            "layout: optimum's pipelines know one power of two between sides of x and of the latent, "
            f"this bundle has {list(shape)} and {list(latent)}; take triton"
        )
    scaling = described.latent.scaling_factor
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": shape[0],
        "out_channels": shape[0],
        "latent_channels": latent[0],
        "block_out_channels": [1] * levels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "sample_size": shape[1] if shape[1] == shape[2] else list(shape[1:]),
        "scaling_factor": 1.0 if scaling is None else scaling,
        "shift_factor": described.latent.shift_factor,
        "latents_mean": None,
        "latents_std": None,
        "force_upcast": False,
    }


def _encoder(model: onnx.ModelProto, contract: Contract, manifest: Manifest) -> onnx.ModelProto:
    """`sample` to `latent_parameters`: x = middle + half * sample first, mean and logvar joined at the end."""
    new = Extractor(model).extract_model(["x"], ["mean", "logvar"])
    graph = new.graph
    channels = manifest.input.shape[0], manifest.latent.shape[0]
    read_shape_off_x(graph, channels=channels, factors=manifest.input.factors)
    middle, half = _middle_and_half(manifest)
    if (middle, half) == (0.0, 1.0):
        rename(graph, {"x": "sample"}, taken=("latent_parameters",))
    else:
        rename(graph, {}, taken=("sample", "latent_parameters"))
        scaled = free(graph, "scaled")
        graph.node.insert(0, helper.make_node("Mul", ["sample", _constant(graph, "half_range", half)], [scaled]))
        graph.node.insert(1, helper.make_node("Add", [scaled, _constant(graph, "middle", middle)], ["x"]))
    graph.node.append(helper.make_node("Concat", ["mean", "logvar"], ["latent_parameters"], axis=1))
    return _finished(new, contract, manifest)


def _decoder(model: onnx.ModelProto, contract: Contract, manifest: Manifest) -> onnx.ModelProto:
    """`latent_sample` to `sample`: x_hat alone, and (x_hat - middle) / half at the end."""
    new = Extractor(model).extract_model(["z"], ["x_hat"])
    graph = new.graph
    middle, half = _middle_and_half(manifest)
    if (middle, half) == (0.0, 1.0):
        rename(graph, {"z": "latent_sample", "x_hat": "sample"})
    else:
        rename(graph, {"z": "latent_sample"}, taken=("sample",))
        centred = free(graph, "centred")
        graph.node.append(helper.make_node("Sub", ["x_hat", _constant(graph, "middle", middle)], [centred]))
        graph.node.append(helper.make_node("Div", [centred, _constant(graph, "half_range", half)], ["sample"]))
    return _finished(new, contract, manifest)


def _middle_and_half(manifest: Manifest) -> tuple[float, float]:
    """The middle of the range of x, and half of its width: 0 and 1 where x is in [-1, 1]."""
    low, high = manifest.input.low, manifest.input.high
    assert low is not None
    assert high is not None
    return (low + high) / 2, (high - low) / 2


def _constant(graph: onnx.GraphProto, name: str, value: float) -> str:
    """Adds a number to the weights and gives its name."""
    name = free(graph, name)
    graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    return name


def _finished(model: onnx.ModelProto, contract: Contract, manifest: Manifest) -> onnx.ModelProto:
    """Declared, clean and checked; it says what it was made from."""
    declare(model.graph, inputs=contract.inputs, outputs=contract.outputs)
    strip(model)
    name_parts(model, contract)
    check_graph(model, contract, opset=model.opset_import[0].version)
    helper.set_model_props(model, {"format": _FORMAT, "role": contract.role, "id": manifest.id})
    return model
