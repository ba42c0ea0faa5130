"""From a model to a published bundle: adapter, graphs, trace, passes, checks, verification, one step into place."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy.typing as npt
import onnx

from reparam.bundle.golden import Case, encode_golden
from reparam.bundle.manifest import (
    MANIFEST_NAME,
    Golden,
    Graph,
    Manifest,
    Precision,
    Role,
    Verification,
    encode_manifest,
)
from reparam.bundle.reader import Bundle, believe
from reparam.bundle.writer import check_target, publish
from reparam.engine.pair import Pair, decoder_contract, encoder_contract, start_pair
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import OptionError
from reparam.verification import BOUNDS, compare
from reparam_export.adapters.find import find_source
from reparam_export.card import model_card
from reparam_export.checks import check_anonymous, check_graph
from reparam_export.graphs import CodeGraph, DecoderGraph, EncoderGraph
from reparam_export.passes.stamp import IR_VERSION, name_parts, stamp
from reparam_export.passes.strip import strip
from reparam_export.precision.rows import data_rows
from reparam_export.precision.variants import FP32, Wanted, add_variants, wanted
from reparam_export.preview import preview
from reparam_export.raw import raw as with_raw_images
from reparam_export.source import Source, in_eval_mode
from reparam_export.trace import OPSET, trace
from reparam_export.vectors import golden_sizes, kept, reference

STAGES: Final = ("read", "trace encoder", "trace decoder", "verify", "publish")
_GOLDEN: Final = "golden.npz"


def export(
    model: object,
    path: str | os.PathLike[str],
    *,
    input_shape: tuple[int, ...] | None = None,
    precision: Sequence[Precision] = ("fp32",),
    calibrate: npt.NDArray[Any] | None = None,
    keep_slower: bool = False,
    raw: bool = False,
    name: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Exports a trained VAE as a bundle: encoder.onnx, decoder.onnx, manifest, golden vectors and model card.

    Args:
        model: whatever an adapter of `reparam.adapters` knows: a run folder that `reparam train` wrote, a
            `reparam_train.VAE`, a model of diffusers or pythae, a pair (encoder, decoder). It is not changed.
        path: the bundle's folder; a bundle already there is replaced in one step, anything else is refused.
        input_shape: of one row of x, without the batch; left out, it is read from the model where it can be.
        precision: which to write, of "fp32", "fp16" and "int8"; fp32 is always there. fp16 is for GPUs.
        calibrate: rows of data [n, *input] that a smaller precision finds its ranges and is measured on, a few hundred;
            int8 needs them, fp16 takes keyed noise without them.
        keep_slower: whether a variant stays that is not faster here than fp32; else it is left out, with a warning.
        raw: whether the graphs take and give uint8 images [batch, height, width, channels], 0 to 255 for the range of
            training; such a bundle scores nothing.
        name: the bundle's name, letters, digits, `.`, `_` and `-`; left out, that of the bundle's folder.
        progress: called with each of `STAGES`, and each smaller precision, as it begins.

    Returns:
        The manifest that was written; `.id` is the same for the same weights and the same exporter versions.

    Raises:
        CheckpointError: the run cannot be read.
        OptionError: an unknown precision, int8 without calibrate, or an input_shape that the model cannot take, or that
            is needed and missing.
        ExportError: no adapter knows the model, or it cannot be traced into graphs of the contract.
        InputTypeError, InputError: calibrate is no array of rows that the encoder takes.
        VerificationError: a graph's numbers differ from PyTorch's; nothing is published.
        OutputError: the place cannot be written; what was there is still there.

    Examples:
        >>> import pathlib, tempfile, reparam, reparam_export
        >>> from reparam_train import VAE, VAEConfig
        >>> config = VAEConfig(net="mlp", input_shape=(64,), latent=2, hidden=(16,))
        >>> folder = pathlib.Path(tempfile.mkdtemp()) / "tiny"
        >>> manifest = reparam_export.export(VAE.build(config, seed=7), folder)
        >>> reparam.load(folder, device="cpu").generate(3, seed=7).shape
        (3, 64)
    """
    target = Path(path)
    check_target(target)
    if name is not None and _plain_name(name) != name:
        raise OptionError(f"name: must be letters, digits, '.', '_' and '-', got {name!r}; try {_plain_name(name)!r}")
    wish = wanted(precision, calibrate, keep_slower=keep_slower)
    progress("read")
    plain = _plain_name(target.resolve().name) if name is None else name
    source = find_source(model, name=plain, input_shape=input_shape)
    if raw:
        source = with_raw_images(source)
    if calibrate is not None:
        wish = dataclasses.replace(wish, calibrate=data_rows(calibrate, source.input))
    files, manifest, pair = prove(source, wish, progress=progress)
    progress("publish")
    _publish(target, manifest, files, pair)
    return manifest


def prove(
    source: Source, wish: Wanted = FP32, *, progress: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, bytes], Manifest, Pair]:
    """The graphs and golden vectors of a model by file name, their manifest, and both graphs running: all but the card.

    Raises:
        ExportError: the model cannot be traced into graphs of the contract.
        VerificationError: a graph's numbers differ from PyTorch's.
    """
    with in_eval_mode(source.module):
        files, manifest = _build(source, progress)
        progress("verify")
        vectors = reference(source)
    sizes = golden_sizes(source)
    golden = encode_golden(kept(vectors))
    files[_GOLDEN] = golden
    manifest = msgspec.structs.replace(
        manifest,
        golden=msgspec.structs.replace(
            manifest.golden, bytes=len(golden), sha256=_sha256(golden), batches=_batches(kept(vectors)), sizes=sizes
        ),
    )
    pair = start_pair(believe(Bundle(source.name, manifest, files)), device="cpu")
    manifest = msgspec.structs.replace(
        manifest,
        verification=(
            Verification(
                precision="fp32",
                provider=pair.encoder.provider,
                onnxruntime=import_onnxruntime().__version__,
                batches=_batches(vectors),
                sizes=sizes,
                bound=BOUNDS["fp32"],
                worst=compare(pair, vectors, bound=BOUNDS["fp32"]),
            ),
        ),
    )
    files, manifest = add_variants(files, manifest, vectors, wish, progress=progress)
    return files, manifest, pair


def _batches(cases: Iterable[Case]) -> tuple[int, ...]:
    """The batch sizes among cases, in order."""
    return tuple(dict.fromkeys(case.batch for case in cases))


def _plain_name(folder: str) -> str:
    """The folder's name as a bundle's: letters, digits, `.`, `_` and `-`, starting with a letter or digit."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder).lstrip("._-")[:100] or "vae"


def _build(source: Source, progress: Callable[[str], None]) -> tuple[dict[str, bytes], Manifest]:
    """Both graphs and a manifest that lacks what the verification adds."""
    plan = Manifest(
        name=source.name,
        id="0" * 32,
        deterministic=source.latent.noise is None,
        input=source.input,
        latent=source.latent,
        likelihood=source.likelihood,
        graphs=(),
        golden=Golden(file=_GOLDEN, bytes=1, sha256="0" * 64, source="pytorch", batches=(1,)),
        verification=(),
        training=source.training,
        versions={package: version(package) for package in ("reparam", "torch", "onnx", "onnxscript")},
    )
    models: dict[Role, onnx.ModelProto] = {}
    shape_nodes: dict[Role, int] = {}
    for contract, module in (
        (encoder_contract(plan), (CodeGraph if plan.deterministic else EncoderGraph)(source)),
        (decoder_contract(plan), DecoderGraph(source)),
    ):
        progress(f"trace {contract.role}")
        model = models[contract.role] = trace(module.eval(), contract)
        strip(model)
        name_parts(model, contract)
        shape_nodes[contract.role] = check_graph(model, contract)
    unstamped = b"".join(_serialise(model) for model in models.values())
    bundle_id = hashlib.sha256(unstamped).hexdigest()[:32]
    files: dict[str, bytes] = {}
    entries: list[Graph] = []
    for role, model in models.items():
        stamp(model, role, bundle_id)
        data = files[f"{role}.onnx"] = _serialise(model)
        entries.append(
            Graph(
                role=role,
                file=f"{role}.onnx",
                precision="fp32",
                opset=OPSET,
                ir_version=IR_VERSION,
                shape_nodes=shape_nodes[role],
                bytes=len(data),
                sha256=_sha256(data),
            )
        )
    return files, msgspec.structs.replace(plan, id=bundle_id, graphs=tuple(entries))


def _publish(target: Path, manifest: Manifest, files: dict[str, bytes], pair: Pair) -> None:
    picture = preview(pair)
    if picture is not None:
        files = {**files, "preview.png": picture}
    files = {
        **files,
        "README.md": model_card(manifest, has_preview=picture is not None).encode("utf-8"),
        MANIFEST_NAME: encode_manifest(manifest),
    }
    for file, data in files.items():
        if not file.endswith(".png"):
            check_anonymous(data, where=file)
    publish(target, files)


def _serialise(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
