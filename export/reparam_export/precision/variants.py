"""Variants of a proved bundle: made, checked, held against the source model, measured, and kept if they pay."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy.typing as npt
import onnx

from reparam.bundle.golden import Case, Vectors
from reparam.bundle.manifest import PRECISIONS, Graph, Manifest, Precision, Role, Variant, Verification
from reparam.bundle.reader import Bundle, believe
from reparam.engine.instructions import NO_INT8, has_int8
from reparam.engine.pair import Pair, decoder_contract, encoder_contract, start_pair
from reparam.errors import DeviceUnavailable, OptionError, VerificationError
from reparam.verification import BOUNDS, compare
from reparam_export.bundling import clean, serialise, sha256, trust_of
from reparam_export.passes.stamp import stamp
from reparam_export.precision.fp16 import halve
from reparam_export.precision.int8 import quantize
from reparam_export.precision.measure import measure
from reparam_export.precision.rows import Feeds, Rows, rows_for, vector_feeds
from reparam_export.precision.told import gain

ROLES: Final[tuple[Role, ...]] = ("encoder", "decoder")
BATCHES: Final = {"maps": 16, "rows": 256}  # timed, of models with and without convolutions


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which precisions to make.

    Attributes:
        precisions: of `PRECISIONS`; fp32 is always made.
        calibrate: rows of data [n, *input], or None.
        keep_slower: whether a variant that is not faster here stays.
    """

    precisions: tuple[Precision, ...] = ("fp32",)
    calibrate: npt.NDArray[Any] | None = None
    keep_slower: bool = False


FP32: Final = Wanted()


def wanted(precision: Sequence[Precision], calibrate: object, *, keep_slower: bool) -> Wanted:
    """The caller's wish, once it can be honoured; its rows are still to be read.

    Raises:
        OptionError: an unknown precision, none, int8 without rows to calibrate it on, or what fp32 has no use for.
        DeviceUnavailable: int8, on a CPU whose products would not be those of the graph.
    """
    names = {str(name) for name in ([precision] if isinstance(precision, str) else precision)}
    found: tuple[Precision, ...] = tuple(known for known in PRECISIONS if known in names)
    if not names or any(name not in PRECISIONS for name in names):
        raise OptionError(f"precision: must be some of {', '.join(PRECISIONS)}, got {precision!r}")
    if "int8" in found and calibrate is None:
        raise OptionError("calibrate: int8 takes the range of each value from rows of data; give some, a few hundred")
    if calibrate is not None and found == ("fp32",):
        raise OptionError("calibrate: is for fp16 and int8, got precision fp32 alone; add one or leave calibrate out")
    if keep_slower and found == ("fp32",):
        raise OptionError("keep_slower: is for fp16 and int8, got precision fp32 alone; add one or leave it out")
    if "int8" in found and not has_int8():
        raise DeviceUnavailable(
            f"precision: int8 cannot be proved here: {NO_INT8}; export it on another, or leave it out"
        )
    return Wanted(found, keep_slower=keep_slower)


def add_variants(
    files: Mapping[str, bytes],
    manifest: Manifest,
    vectors: Mapping[Case, Vectors],
    wish: Wanted,
    *,
    progress: Callable[[str], None],
) -> tuple[dict[str, bytes], Manifest]:
    """The bundle's files and manifest with the variants that were asked for.

    Warns of each that is left out since it is not faster here.

    Raises:
        ExportError, BundleError: a variant's graph is not one of the format.
        VerificationError: a variant is past its bound against the source model.
    """
    found = dict(files)
    asked: list[Precision] = [precision for precision in wish.precisions if precision != "fp32"]
    if not asked:
        return found, manifest
    fp32 = start_pair(
        believe(Bundle(manifest.name, manifest, found), trust=trust_of(manifest)), device="cpu", threads=1
    )
    rows = rows_for(fp32, wish.calibrate)
    plain: dict[Role, onnx.ModelProto] = {role: onnx.ModelProto.FromString(found[f"{role}.onnx"]) for role in ROLES}
    maps = any(node.op_type == "Conv" for model in plain.values() for node in model.graph.node)
    batch = BATCHES["maps" if maps else "rows"]
    for precision in asked:
        progress(precision)
        graphs, fp32_nodes = _graphs(plain, manifest, precision, rows, vectors)
        whole = _entered(manifest, graphs, precision)
        data = {graph.file: graphs[graph.role] for graph in whole.graphs if graph.precision == precision}
        bundle = believe(Bundle(manifest.name, whole, {**found, **data}), trust=trust_of(manifest))
        pair = start_pair(bundle, device="cpu", precision=precision, threads=1)
        proof = _proof(pair, manifest.verification[0], vectors)
        measured = measure(fp32, pair, rows, batch=batch, fp32_nodes=fp32_nodes)
        if not wish.keep_slower and not _pays(measured):
            warnings.warn(_slower(measured), RuntimeWarning, stacklevel=2)
            continue
        found |= data
        manifest = msgspec.structs.replace(
            whole, verification=(*manifest.verification, proof), variants=(*manifest.variants, measured)
        )
    return found, manifest


def _graphs(
    plain: Mapping[Role, onnx.ModelProto],
    manifest: Manifest,
    precision: Precision,
    rows: Rows,
    vectors: Mapping[Case, Vectors],
) -> tuple[dict[Role, bytes], int]:
    """Both graphs' bytes in a precision, and how many of their nodes stay float32 for the size of their values.

    The rows of the reference vectors are calibration rows too: the bound is held on them, here and wherever the bundle
    is verified, and says nothing of values beyond the ranges that were seen (a ReLU net of MNIST: 28 % of the largest
    mean without them, 1.4 % with them, for 0.005 nats).
    """
    graphs: dict[Role, bytes] = {}
    fp32_nodes = 0
    for role, contract in zip(ROLES, (encoder_contract(manifest), decoder_contract(manifest)), strict=True):
        feeds: list[Feeds] = [*rows.feeds(role), *(vector_feeds(each, role) for each in vectors.values())]
        if precision == "int8":
            model = quantize(plain[role], feeds)
        else:
            model, count = halve(plain[role], feeds)
            fp32_nodes += count
        clean(model, contract, opset=model.opset_import[0].version)
        stamp(model, role, manifest.id)
        graphs[role] = serialise(model)
    return graphs, fp32_nodes


def _entered(manifest: Manifest, graphs: Mapping[Role, bytes], precision: Precision) -> Manifest:
    """The manifest with a precision's graphs."""
    entries: list[Graph] = []
    for role, data in graphs.items():
        fp32 = manifest.graph(role, "fp32")
        assert fp32 is not None
        entries.append(
            msgspec.structs.replace(
                fp32,
                file=f"{role}.{precision}.onnx",
                precision=precision,
                bytes=len(data),
                sha256=sha256(data),
            )
        )
    return msgspec.structs.replace(manifest, graphs=(*manifest.graphs, *entries))


def _proof(pair: Pair, fp32: Verification, vectors: Mapping[Case, Vectors]) -> Verification:
    bound = BOUNDS[pair.precision]
    try:
        worst = compare(pair, vectors, bound=bound)
    except VerificationError as error:
        raise VerificationError(f"{pair.precision}: {error}; leave {pair.precision} out") from None
    return msgspec.structs.replace(fp32, precision=pair.precision, bound=bound, worst=worst)


def _pays(measured: Variant) -> bool:
    """fp16 is for GPUs: a CPU has no kernels for it and says nothing of what it gains."""
    return (measured.provider == "CPUExecutionProvider" and measured.precision == "fp16") or gain(measured) > 1


def _slower(measured: Variant) -> str:
    return (
        f"{measured.precision}: left out, it runs {gain(measured):.2f} times as fast as fp32 here, on one thread; "
        "keep_slower=True (--keep-slower) keeps it"
    )
