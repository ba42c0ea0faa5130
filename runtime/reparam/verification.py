"""Does a bundle give the numbers of its source model here? The golden vectors, replayed."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from reparam.bundle.golden import Vectors, decode_golden
from reparam.bundle.manifest import Bound, Precision, Verification, Worst
from reparam.bundle.reader import Bundle, read_bundle
from reparam.engine.pair import Pair, start_pair
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import VerificationError

BOUNDS: Final[Mapping[Precision, Bound]] = {"fp32": Bound(absolute=1e-5, relative=1e-5)}


def compare(pair: Pair, cases: Iterable[Vectors], *, bound: Bound) -> dict[str, Worst]:
    """Runs both graphs on each case and holds every output against the source's.

    Args:
        pair: the sessions.
        cases: x, eps and every output of the source model, one mapping for each batch.
        bound: |a - b| <= absolute + relative * |b| for each value, b the source's.

    Returns:
        The worst error of each output over all cases.

    Raises:
        VerificationError: an output that is not finite, of another shape, or outside the bound.
    """
    manifest = pair.manifest
    worst: dict[str, Worst] = {}
    for case in cases:
        encoded = list(manifest.encoder_outputs)
        decoded = list(manifest.decoder_outputs)
        feeds = {name: case[name] for name in manifest.encoder_inputs}
        found = dict(zip(encoded, pair.encoder.run(encoded, feeds), strict=True))
        found |= dict(zip(decoded, pair.decoder.run(decoded, {"z": case["z"]}), strict=True))
        for name, array in found.items():
            error = _error(name, array.astype(np.float64), case[name].astype(np.float64), bound)
            old = worst.get(name, error)
            worst[name] = Worst(absolute=max(old.absolute, error.absolute), relative=max(old.relative, error.relative))
    return worst


def _error(name: str, found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], bound: Bound) -> Worst:
    rows = len(wanted)
    if found.shape != wanted.shape:
        raise VerificationError(f"{name}: shape must be {list(wanted.shape)}, got {list(found.shape)} at batch {rows}")
    for whose, values in (("the source model", wanted), ("the graph", found)):
        if not np.isfinite(values).all():
            raise VerificationError(f"{name}: {whose} gives a value that is not finite, at batch {rows}")
    distance = np.abs(found - wanted)
    if (distance > bound.absolute + bound.relative * np.abs(wanted)).any():
        raise VerificationError(
            f"{name}: differs from the source model by up to {distance.max():.3g} at batch {rows}, "
            f"allowed is {bound.absolute:g} + {bound.relative:g} * |value|"
        )
    scale = float(np.abs(wanted).max()) if wanted.size else 0.0
    absolute = float(distance.max()) if distance.size else 0.0
    return Worst(absolute=absolute, relative=absolute / scale if scale else 0.0)


def replay(bundle: Bundle, *, device: str, precision: Precision, threads: int | None) -> Verification:
    """Replays the golden vectors of a bundle that was read with them; see `verify`."""
    manifest = bundle.manifest
    vectors = decode_golden(
        bundle.files[manifest.golden.file], manifest, where=f"{bundle.place}/{manifest.golden.file}"
    )
    pair = start_pair(bundle, device=device, precision=precision, threads=threads)
    bound = next((v.bound for v in manifest.verification if v.precision == precision), BOUNDS["fp32"])
    return Verification(
        precision=precision,
        provider=pair.encoder.provider,
        onnxruntime=import_onnxruntime().__version__,
        batches=manifest.golden.batches,
        bound=bound,
        worst=compare(pair, vectors.values(), bound=bound),
    )


def verify(
    path: str | os.PathLike[str], *, device: str = "auto", threads: int | None = None, follow_links: bool = False
) -> tuple[Verification, ...]:
    """Replays a bundle's golden vectors here, in every precision that it holds.

    Args:
        path: the bundle's folder.
        device: as for `load`.
        threads: as for `load`.
        follow_links: as for `load`.

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
    bundle = read_bundle(Path(path), golden=True, follow_links=follow_links)
    return tuple(
        replay(bundle, device=device, precision=precision, threads=threads) for precision in bundle.manifest.precisions
    )
