"""A model repository of Triton: encoder, decoder, and an ensemble that reconstructs.

Configurations are text of Triton's model_config.proto (triton-inference-server/common). The graphs are the bundle's,
byte for byte. Dynamic batching joins requests of many callers: the results stay those of each row, since `eps` is an
input. Triton states shapes without the batch and writes -1 for a dynamic side.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from reparam.bundle.manifest import Axes, Manifest, Precision
from reparam.bundle.reader import Bundle
from reparam.engine.pair import decoder_contract, encoder_contract
from reparam.engine.session import Contract

MAX_BATCH: Final = 256  # as of `reparam.load`
ENSEMBLE: Final = "reconstruct"
VERSION: Final = "1"
_TYPES: Final = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}


def triton_files(bundle: Bundle, precision: Precision) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The repository's files by path, and its empty folders: an ensemble's version holds no file.

    Args:
        bundle: read with the graphs of the precision.
        precision: which graphs Triton is to serve.
    """
    manifest = bundle.manifest
    files: dict[str, bytes] = {}
    for contract in (encoder_contract(manifest), decoder_contract(manifest)):
        files[f"{contract.role}/{VERSION}/model.onnx"] = bundle.graph(contract.role, precision).data
        files[f"{contract.role}/config.pbtxt"] = _graph(contract).encode()
    files[f"{ENSEMBLE}/config.pbtxt"] = _ensemble(manifest).encode()
    return files, (f"{ENSEMBLE}/{VERSION}",)


def _graph(contract: Contract) -> str:
    """The configuration of one graph."""
    return "\n".join(
        [
            f"name: {_text(contract.role)}",
            'backend: "onnxruntime"',
            f"max_batch_size: {MAX_BATCH}",
            _tensors("input", contract.inputs, contract.dtype),
            _tensors("output", contract.outputs, contract.dtype),
            "dynamic_batching { }",
            "",
        ]
    )


def _ensemble(manifest: Manifest) -> str:
    """X and eps through the encoder to z, and z through the decoder to x_hat."""
    encoder, decoder = encoder_contract(manifest), decoder_contract(manifest)
    return "\n".join(
        [
            f"name: {_text(ENSEMBLE)}",
            'platform: "ensemble"',
            f"max_batch_size: {MAX_BATCH}",
            _tensors("input", encoder.inputs, encoder.dtype),
            _tensors("output", {"x_hat": decoder.outputs["x_hat"]}, decoder.dtype),
            "ensemble_scheduling {",
            _step(encoder.role, encoder.inputs, ["z"]),
            _step(decoder.role, ["z"], ["x_hat"]),
            "}",
            "",
        ]
    )


def _tensors(way: str, tensors: Mapping[str, Axes], dtype: Callable[[str], str]) -> str:
    """A list of inputs or outputs: name, type and row."""
    entries: list[str] = []
    for name, axes in tensors.items():
        dims = ", ".join(str(axis) if isinstance(axis, int) else "-1" for axis in axes)
        entries.append(f"  {{ name: {_text(name)}, data_type: {_TYPES[dtype(name)]}, dims: [ {dims} ] }}")
    return "\n".join([f"{way} [", ",\n".join(entries), "]"])


def _step(model: str, inputs: Iterable[str], outputs: Iterable[str]) -> str:
    """One model of the ensemble; tensors have the same names inside and outside of it."""
    lines = ["  step {", f"    model_name: {_text(model)}", "    model_version: -1"]
    for way, names in (("input", inputs), ("output", outputs)):
        lines += [f"    {way}_map {{ key: {_text(name)}, value: {_text(name)} }}" for name in names]
    return "\n".join([*lines, "  }"])


def _text(value: str) -> str:
    return json.dumps(value)  # names are plain, so JSON's string is protobuf's
