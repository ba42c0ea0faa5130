"""What lies in an optimum or diffusers ONNX folder: two graphs and the VAE's config.json, checked before they are used.

Names are those of optimum's exporter (optimum.exporters.onnx, VaeEncoderOnnxConfig and VaeDecoderOnnxConfig): the
encoder takes `sample` and gives `latent_parameters`, mean and logvar side by side; the decoder takes `latent_sample`
and gives `sample`.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import onnx

from reparam.bundle.gate import RANDOM_OPERATORS
from reparam.errors import CheckpointError, ExportError
from reparam.files.regular import read_regular

ENCODER: Final = Path("vae_encoder", "model.onnx")
DECODER: Final = Path("vae_decoder", "model.onnx")
_CONFIGS: Final = (Path("vae_encoder", "config.json"), Path("vae", "config.json"), Path("config.json"))
_MAX_BYTES: Final = 2**31 - 1  # what one protobuf message can be
_MAX_CONFIG_BYTES: Final = 1 << 20
_OLDEST_OPSET: Final = 13  # from here on Split takes its sizes as an input, as up to today
_AGAIN: Final = "export it again: optimum-cli export onnx --model MODEL --opset 18 FOLDER"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What config.json says of the VAE, in diffusers' words; keys that are not named here are not needed."""

    block_out_channels: tuple[int, ...]
    in_channels: int = 3
    latent_channels: int = 4
    sample_size: int | tuple[int, int] | None = None
    scaling_factor: float | None = None
    shift_factor: float | None = None
    diffusers: str | None = msgspec.field(default=None, name="_diffusers_version")


@dataclasses.dataclass(frozen=True)
class Folder:
    """Both graphs as they came, past every check, and the config.

    Attributes:
        place: the folder, for messages.
        encoder: `sample` [batch, channels, height, width] to `latent_parameters` [batch, 2 * latent, ...].
        decoder: `latent_sample` [batch, latent, latent_height, latent_width] to `sample` [batch, channels, ...].
        config: of the VAE.
    """

    place: Path
    encoder: onnx.ModelProto
    decoder: onnx.ModelProto
    config: Config


def read_folder(place: Path) -> Folder:
    """Reads a folder and refuses, by name, whatever no bundle could be made of.

    Raises:
        CheckpointError: a file is missing or cannot be read.
        ExportError: a graph samples inside, is not float32, has its weights elsewhere, or has other names or axes.
    """
    if not place.is_dir():
        raise CheckpointError(f"{place}: no such folder; give the one that holds vae_encoder and vae_decoder")
    config = _config(place)
    encoder, decoder = _graph(place / ENCODER), _graph(place / DECODER)
    _check_posterior(encoder, place / ENCODER)
    channels, latent = config.in_channels, config.latent_channels
    _check_signature(encoder, place / ENCODER, ("sample", channels), ("latent_parameters", 2 * latent))
    _check_signature(decoder, place / DECODER, ("latent_sample", latent), ("sample", channels))
    return Folder(place, encoder, decoder, config)


def _config(place: Path) -> Config:
    for name in _CONFIGS:
        if (place / name).is_file():
            break
    else:
        raise CheckpointError(
            f"{place}: holds no {_CONFIGS[0]}; put the VAE's config.json there, as diffusers wrote it"
        )
    try:
        config = msgspec.json.decode(read_regular(place / name, most=_MAX_CONFIG_BYTES), type=Config)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise CheckpointError(
            f"{place / name}: not the config.json of a VAE: {error}; take it from the model"
        ) from None
    size = 1 if config.sample_size is None else config.sample_size
    sides = size if isinstance(size, tuple) else (size,)
    if not config.block_out_channels or min(config.in_channels, config.latent_channels, *sides) < 1:
        raise CheckpointError(f"{place / name}: its channels and sizes must be positive; take it from the model")
    return config


def _graph(file: Path) -> onnx.ModelProto:
    """One graph, past every check of what it holds."""
    try:
        data = read_regular(file, most=_MAX_BYTES)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: missing; give a folder that holds {ENCODER} and {DECODER}") from None
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}); check its permissions") from None
    except ValueError:
        raise ExportError(f"{file}: a graph has at most 2 GiB in one file, this has more") from None
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own class, which onnx does not name
        raise CheckpointError(f"{file}: not an ONNX graph; {_AGAIN}") from error
    _check_contents(model, file)
    return model


def _check_contents(model: onnx.ModelProto, file: Path) -> None:
    """Refuses by name what the bundle's gate would refuse, and numbers that are not float32."""
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        raise ExportError(
            f"{file}: its weights lie in another file (external data); put them inside: "
            f"onnx.save(onnx.load('{file.name}'), '{file.name}')"
        )
    opset = opset_of(model)
    if opset < _OLDEST_OPSET:
        raise ExportError(f"{file}: opset must be at least {_OLDEST_OPSET}, got {opset}; {_AGAIN}")
    foreign = sorted(
        {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    )
    if foreign or model.functions:
        told = foreign[0] if foreign else "functions"
        raise ExportError(f"{file}: holds {told}, which standard ONNX has not; import it before it is optimised")
    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        raise ExportError(f"{file}: holds subgraphs (If, Loop), which no bundle may hold; {_AGAIN}")
    if any(node.op_type.endswith("QuantizeLinear") for node in model.graph.node):
        raise ExportError(f"{file}: is quantised; import the fp32 graphs, and quantise what comes of them")
    half = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    if any(tensor.data_type in half for tensor in _tensors(model.graph)) or any(
        value.type.tensor_type.elem_type in half for value in (*model.graph.input, *model.graph.output)
    ):
        raise ExportError(f"{file}: computes in 16 bits; {_AGAIN} --dtype fp32")


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operator set; 0 where the model names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph: weights, and constants of its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _check_posterior(encoder: onnx.ModelProto, file: Path) -> None:
    """The encoder gives the posterior's parameters and draws nothing itself."""
    drawn = sorted({node.op_type for node in encoder.graph.node} & RANDOM_OPERATORS)
    if drawn:
        raise ExportError(
            f"{file}: samples inside the graph ({drawn[0]}), so its noise cannot be given, repeated or left out; "
            "export it again with an optimum whose encoder gives latent_parameters"
        )
    if [value.name for value in encoder.graph.output] == ["latent_sample"]:
        raise ExportError(
            f"{file}: gives latent_sample and draws nothing: a deterministic autoencoder without a posterior, which "
            "is not imported; export the PyTorch model with reparam export"
        )


def _check_signature(
    model: onnx.ModelProto, file: Path, wanted_in: tuple[str, int], wanted_out: tuple[str, int]
) -> None:
    """One input and one output of these names and channels, float32, the other axes dynamic."""
    weights = {tensor.name for tensor in model.graph.initializer}  # before ir_version 4 these were inputs too
    inputs = [value for value in model.graph.input if value.name not in weights]
    for way, found, (name, channels) in (("input", inputs, wanted_in), ("output", model.graph.output, wanted_out)):
        names = [value.name for value in found]
        if names != [name]:
            raise ExportError(f"{file}: its one {way} must be {name}, got {', '.join(names) or 'none'}; {_AGAIN}")
        tensor = found[0].type.tensor_type
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        shape = [dim.dim_param or dim.dim_value or "?" for dim in tensor.shape.dim]
        if kind != "float" or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != channels):
            wanted = f"float [batch, {channels}, height, width]"
            raise ExportError(f"{file}: {name} must be {wanted} as config.json says, got {kind} {shape}; {_AGAIN}")
        if way == "input" and any(isinstance(shape[axis], int) for axis in (0, 2, 3)):
            raise ExportError(f"{file}: {name} has fixed sizes, {shape}; export it again without --no-dynamic-axes")
