"""A model repository of Triton: encoder, decoder, and an ensemble that reconstructs.

Configurations are text of Triton's model_config.proto (triton-inference-server/common). The graphs are the bundle's,
byte for byte. Dynamic batching joins requests of many callers: the results stay those of each row, since `eps` is an
input. Triton states shapes without the batch and writes -1 for a dynamic side.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from reparam.bundle.manifest import Manifest, Precision
from reparam.bundle.reader import Bundle
from reparam.engine.pair import decoder_contract, encoder_contract
from reparam.engine.session import Axes, Contract

MAX_BATCH: Final = 256  # as of `reparam.load`
ENSEMBLE: Final = "reconstruct"
VERSION: Final = "1"


def triton_files(bundle: Bundle, precision: Precision) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The repository's files by path, and its empty folders: an ensemble's version holds no file.

    Args:
        bundle: read with the graphs of the precision.
        precision: which graphs Triton is to serve.
    """
    manifest = bundle.manifest
    files: dict[str, bytes] = {}
    for contract in (encoder_contract(manifest), decoder_contract(manifest)):
        files[f"{contract.role}/{VERSION}/model.onnx"] = bundle.graph(contract.role, precision)
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
            _tensors("input", contract.inputs, contract.uint8),
            _tensors("output", contract.outputs, contract.uint8),
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
            _tensors("input", encoder.inputs, encoder.uint8),
            _tensors("output", {"x_hat": decoder.outputs["x_hat"]}, decoder.uint8),
            "ensemble_scheduling {",
            _step(encoder.role, encoder.inputs, ["z"]),
            _step(decoder.role, ["z"], ["x_hat"]),
            "}",
            "",
        ]
    )


def _tensors(way: str, tensors: Mapping[str, Axes], uint8: frozenset[str]) -> str:
    lines = [f"{way} ["]
    for name, axes in tensors.items():
        kind = "TYPE_UINT8" if name in uint8 else "TYPE_FP32"
        dims = ", ".join(str(axis) if isinstance(axis, int) else "-1" for axis in axes)
        lines.append(f"  {{ name: {_text(name)}, data_type: {kind}, dims: [ {dims} ] }},")
    return "\n".join([*lines[:-1], lines[-1].rstrip(","), "]"])


def _step(model: str, inputs: Iterable[str], outputs: Iterable[str]) -> str:
    maps = [
        f"    {way}_map {{ key: {_text(n)}, value: {_text(n)} }}"
        for way, names in (("input", inputs), ("output", outputs))
        for n in names
    ]
    return "\n".join(["  step {", f"    model_name: {_text(model)}", "    model_version: -1", *maps, "  }"])


def _text(value: str) -> str:
    return json.dumps(value)  # names are plain, so JSON's string is protobuf's
