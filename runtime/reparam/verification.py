"""Does a bundle give the numbers of its source model here? The golden vectors, replayed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.bundle.golden import Case, Vectors, decode_golden
from reparam.bundle.manifest import Bound, Manifest, Precision, Trust, Verification, Worst
from reparam.bundle.reader import Bundle, read_bundle
from reparam.engine.device import warn_caller
from reparam.engine.instructions import has_int8
from reparam.engine.pair import Pair, start_pair
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import VerificationError

# Of the smaller precisions relative to an output's largest magnitude, since that is what their steps are a share of:
# half precision keeps 11 bits, int8 8 of each value's range, and errors of a few layers add up. A graph that is past
# its bound is wrong, not coarse; what a variant costs in nats the manifest says beside it.
BOUNDS: Final[Mapping[Precision, Bound]] = {
    "fp32": Bound(absolute=1e-5, relative=1e-5),
    "fp16": Bound(absolute=1e-3, relative=0.0, largest=0.01),
    "int8": Bound(absolute=1e-3, relative=0.0, largest=0.2),
}
# in fp32 of nets that this project did not write, whose depth and whose order of sums are theirs
FOREIGN: Final = Bound(absolute=1e-4, relative=1e-3)


def compare(pair: Pair, cases: Mapping[Case, Vectors], *, bound: Bound) -> dict[str, Worst]:
    """Runs both graphs on each case and holds every output against the source's.

    Args:
        pair: the sessions.
        cases: x, eps and every output of the source model for each batch, and size where sizes are dynamic.
        bound: |a - b| <= absolute + relative * |b| + largest * max |b| for each value, b the source's; levels of
            uint8 may differ by one more.

    Returns:
        The worst error of each output over all cases; of "round_trip" too, x_hat of the encoder's own z.

    Raises:
        VerificationError: an output that is not finite, of another shape, or outside the bound.
    """
    manifest = pair.manifest
    worst: dict[str, Worst] = {}
    encoded, decoded = list(manifest.encoder_outputs), list(manifest.decoder_outputs)
    for case, wanted in cases.items():
        feeds = {name: wanted[name] for name in manifest.encoder_inputs}
        found = dict(zip(encoded, pair.encoder.run(encoded, feeds), strict=True))
        found |= dict(zip(decoded, pair.decoder.run(decoded, {"z": wanted["z"]}), strict=True))
        (found["round_trip"],) = pair.decoder.run(["x_hat"], {"z": found["z"]})
        for name, array in found.items():
            error = held(name, array, wanted["x_hat" if name == "round_trip" else name], bound, at=_at(case))
            old = worst.get(name, error)
            worst[name] = Worst(absolute=max(old.absolute, error.absolute), relative=max(old.relative, error.relative))
    return worst


def _at(case: Case) -> str:
    return f"at batch {case.batch}" + ("" if case.size is None else f" and {case.size[0]} x {case.size[1]}")


def held(
    name: str,
    found: npt.NDArray[Any],
    wanted: npt.NDArray[Any],
    bound: Bound,
    *,
    at: str,
    source: str = "the source model",
    graph: str = "the graph",
) -> Worst:
    """The worst error of one output.

    Args:
        name: what it is called.
        found: what was computed.
        wanted: what its source gives.
        bound: as of `compare`.
        at: at which batch, and size, in words for messages.
        source: whose values `wanted` are, in words.
        graph: whose values `found` are.

    Raises:
        VerificationError: another shape, a value that is not finite, or one outside the bound.
    """
    if found.shape != wanted.shape:
        raise VerificationError(f"{name}: shape must be {list(wanted.shape)}, got {list(found.shape)} {at}")
    level = 1.0 if wanted.dtype == np.uint8 else 0.0  # a value halfway between two levels may go to either
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    for whose, values in ((source, wanted), (graph, found)):
        if not np.isfinite(values).all():
            raise VerificationError(f"{name}: {whose} gives a value that is not finite, {at}")
    distance = np.abs(found - wanted)
    scale = float(np.abs(wanted).max()) if wanted.size else 0.0
    if (distance > level + bound.absolute + bound.relative * np.abs(wanted) + bound.largest * scale).any():
        raise VerificationError(
            f"{name}: differs from {source} by up to {distance.max():.3g} {at}, allowed is {told(bound)}"
        )
    absolute = float(distance.max()) if distance.size else 0.0
    return Worst(absolute=absolute, relative=absolute / scale if scale else 0.0)


def told(bound: Bound) -> str:
    """The bound as a formula."""
    terms = ((bound.absolute, ""), (bound.relative, " |value|"), (bound.largest, " of the largest |value|"))
    return " + ".join(f"{factor:g}{of}" for factor, of in terms if factor) or "0"


def bound_of(manifest: Manifest, precision: Precision) -> Bound:
    """The bound that a bundle states of a precision, or that of this version where it states none."""
    return next((done.bound for done in manifest.verification if done.precision == precision), BOUNDS[precision])


def replay(bundle: Bundle, *, device: str, precision: Precision, threads: int | None) -> Verification:
    """Replays the golden vectors of a bundle that was read with them; see `verify`."""
    manifest = bundle.manifest
    vectors = decode_golden(
        bundle.files[manifest.golden.file], manifest, where=f"{bundle.place}/{manifest.golden.file}"
    )
    pair = start_pair(bundle, device=device, precision=precision, threads=threads)
    bound = bound_of(manifest, precision)
    return Verification(
        precision=precision,
        provider=pair.encoder.provider,
        onnxruntime=import_onnxruntime().__version__,
        batches=manifest.golden.batches,
        sizes=manifest.golden.sizes,
        bound=bound,
        worst=compare(pair, vectors, bound=bound),
    )


def verify(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int | None = None,
    follow_links: bool = False,
    trust: Trust = "strict",
) -> tuple[Verification, ...]:
    """Replays a bundle's golden vectors here, in every precision that it holds.

    int8 is left out with a Python warning on a CPU without instructions for it, where its products may saturate.

    Args:
        path: the bundle's folder.
        device: as for `load`.
        threads: as for `load`.
        follow_links: as for `load`.
        trust: as for `load`.

    Returns:
        For each precision the provider, version, bound and the worst error of every output.

    Raises:
        VerificationError: an output outside the bound that the manifest states; the command exits with code 6.
        BundleError, DeviceUnavailable: as for `load`.

    Examples:
        >>> import reparam
        >>> [done.precision for done in reparam.verify("models/digits", device="cpu")]
        ['fp32']
    """
    bundle = read_bundle(Path(path), golden=True, follow_links=follow_links, trust=trust)
    precisions = list(bundle.manifest.precisions)
    if "int8" in precisions and not has_int8():
        precisions.remove("int8")
        warn_caller("verify leaves out int8: this CPU has no instructions for it (VNNI, AMX or ARM's dot product)")
    return tuple(replay(bundle, device=device, precision=precision, threads=threads) for precision in precisions)
