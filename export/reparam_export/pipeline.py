"""From a model in PyTorch to a published bundle: adapter, graphs, trace, and what `bundling` makes of them."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import onnx

from reparam.bundle.manifest import Input, Manifest, Precision, Role
from reparam.bundle.reader import Bundle, believe
from reparam.bundle.writer import check_target
from reparam.engine.pair import Pair, decoder_contract, encoder_contract
from reparam.errors import OptionError
from reparam_export.adapters.find import find_source
from reparam_export.bundling import bundle_name, clean, golden_of, proved, publish_bundle, trust_of, with_graphs
from reparam_export.graphs import CodeGraph, DecoderGraph, EncoderGraph
from reparam_export.layouts.record import Layout
from reparam_export.layouts.writing import check_fits, check_layout_place, write_layout
from reparam_export.passes.fix_shapes import fix_shapes
from reparam_export.passes.pads import even_pads
from reparam_export.precision.rows import data_rows
from reparam_export.precision.variants import FP32, Wanted, add_variants, wanted
from reparam_export.raw import raw as with_raw_images
from reparam_export.source import Source, in_eval_mode
from reparam_export.trace import trace
from reparam_export.vectors import reference

STAGES: Final = ("read", "trace encoder", "trace decoder", "verify", "publish")


def export(
    model: object,
    path: str | os.PathLike[str],
    *,
    input_shape: tuple[int, ...] | None = None,
    precision: Sequence[Precision] = ("fp32",),
    calibrate: npt.NDArray[Any] | Callable[[Input], npt.NDArray[Any]] | None = None,
    keep_slower: bool = False,
    raw: bool = False,
    allow_operators: bool = False,
    layout: Layout | None = None,
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
            int8 needs them, fp16 takes keyed noise without them. Or a function that gives them for what the manifest
            says of a row: its shape and range.
        keep_slower: whether a variant stays that is not faster here than fp32; else it is left out, with a warning.
        raw: whether the graphs take and give uint8 images [batch, height, width, channels], 0 to 255 for the range of
            training; such a bundle scores nothing.
        allow_operators: whether a graph may hold an operator that is not on the gate's list; such a bundle loads only
            with trust="exporter", and its manifest and card say so.
        layout: "triton" or "optimum" to write the folder of such a program in place of a bundle, see
            `reparam_export.lay_out`.
        name: the bundle's name, letters, digits, `.`, `_` and `-`; left out, that of the bundle's folder.
        progress: called with each of `STAGES`, and each smaller precision, as it begins.

    Returns:
        The manifest that was written; `.id` is the same for the same weights and the same exporter versions.

    Raises:
        CheckpointError: the run cannot be read.
        OptionError: an input_shape that the model cannot take, or that is needed and missing.
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
    if layout is None:
        check_target(target)
    else:
        check_layout_place(target, layout)
    plain = bundle_name(name, target)
    wish = wanted(precision, calibrate, keep_slower=keep_slower)
    if layout is not None and wish.precisions != ("fp32",):
        raise OptionError(f"precision: layout {layout} holds fp32 alone; leave precision out, or write a bundle")
    progress("read")
    source = find_source(model, name=plain, input_shape=input_shape)
    if raw:
        source = with_raw_images(source)
    if layout is not None:
        check_fits(source, layout)
    if calibrate is not None:
        given = calibrate(source.input) if callable(calibrate) else calibrate
        wish = dataclasses.replace(wish, calibrate=data_rows(given, source.input))
    files, manifest, pair = prove(source, wish, allow_operators=allow_operators, progress=progress)
    progress("publish")
    if layout is None:
        publish_bundle(target, manifest, files, pair)
    else:
        write_layout(believe(Bundle(plain, manifest, files), trust=trust_of(manifest)), target, layout=layout)
    return manifest


def prove(
    source: Source,
    wish: Wanted = FP32,
    *,
    allow_operators: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, bytes], Manifest, Pair]:
    """The graphs and golden vectors of a model by file name, their manifest, and both graphs running: all but the card.

    Raises:
        ExportError: the model cannot be traced into graphs of the contract.
        VerificationError: a graph's numbers differ from PyTorch's.
    """
    with in_eval_mode(source.module):
        files, manifest = _build(source, progress, allow_operators=allow_operators)
        progress("verify")
        vectors = reference(source)
    files, manifest, pair = proved(files, manifest, vectors, bound=source.bound)
    files, manifest = add_variants(files, manifest, vectors, wish, progress=progress)
    return files, manifest, pair


def _build(
    source: Source, progress: Callable[[str], None], *, allow_operators: bool
) -> tuple[dict[str, bytes], Manifest]:
    """Both graphs and a manifest that lacks what the verification adds."""
    plan = Manifest(
        name=source.name,
        id="0" * 32,
        deterministic=source.latent.noise is None,
        input=source.input,
        latent=source.latent,
        likelihood=source.likelihood,
        graphs=(),
        golden=golden_of("pytorch"),
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
        fix_shapes(model)
        even_pads(model)
        shape_nodes[contract.role] = clean(model, contract)
    return with_graphs(plan, models, shape_nodes, allow_operators=allow_operators)
