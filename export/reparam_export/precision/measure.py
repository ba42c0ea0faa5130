"""What a variant costs and gains against fp32 here: errors and nats over rows, and rows a second, in one paired run.

The two are timed in turn, round by round, on one thread each, and medians compared: machines drift, and a ratio of two
separate runs would show the drift.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from reparam.bundle.manifest import Role, Speed, Variant, Worst
from reparam.engine.pair import Pair
from reparam.engine.rows import Rows as Chunks
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import VerificationError
from reparam.scores import elbo_terms
from reparam_export.precision.rows import SEED, Feeds, Rows

_SECONDS: Final = 0.5  # about so long for each graph and batch
_FEWEST: Final = 3  # rounds, however slow
_MOST: Final = 200  # rounds that 0.5 s may hold
_WARM: Final = 2


def measure(fp32: Pair, variant: Pair, rows: Rows, *, batch: int, fp32_nodes: int) -> Variant:
    """Errors, nats and speed of a variant against fp32.

    Args:
        fp32: the graphs to hold it against, on one thread.
        variant: the same, in another precision.
        rows: what both are run on.
        batch: timed beside a batch of one.
        fp32_nodes: how many nodes of the variant stay float32 for the size of their values.

    Raises:
        VerificationError: an output of the variant is not finite on these rows.
    """
    before, after = _negative_elbo(fp32, rows), _negative_elbo(variant, rows)
    return Variant(
        precision=variant.precision,
        rows=len(rows.z),
        row_source=rows.source,
        fp32_nodes=fp32_nodes,
        worst=_errors(fp32, variant, rows),
        negative_elbo_fp32=before,
        negative_elbo=after,
        provider=variant.encoder.provider,
        onnxruntime=import_onnxruntime().__version__,
        speeds=_speeds(fp32, variant, rows, batch),
    )


def _errors(fp32: Pair, variant: Pair, rows: Rows) -> dict[str, Worst]:
    found: dict[str, Worst] = {}
    roles: tuple[Role, ...] = ("encoder", "decoder")
    for role in roles:
        manifest = fp32.manifest
        names = list(manifest.encoder_outputs if role == "encoder" else manifest.decoder_outputs)
        distance, largest = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
        for feed in rows.feeds(role):
            pairs = zip(getattr(fp32, role).run(names, feed), getattr(variant, role).run(names, feed), strict=True)
            for name, (wanted, got) in zip(names, pairs, strict=True):
                if not np.isfinite(got).all():
                    raise VerificationError(
                        f"{variant.precision}: {name} is not finite on calibration rows; leave {variant.precision} out"
                    )
                distance[name] = max(distance[name], float(np.abs(got.astype(np.float64) - wanted).max(initial=0.0)))
                largest[name] = max(largest[name], float(np.abs(wanted).max(initial=0)))
        for name in names:
            relative = distance[name] / largest[name] if largest[name] else 0.0
            found[name] = Worst(absolute=distance[name], relative=relative)
    return found


def _negative_elbo(pair: Pair, rows: Rows) -> float | None:
    """The mean over the rows in nats; None where it cannot be scored, or the rows are noise."""
    manifest = pair.manifest
    if manifest.deterministic or manifest.likelihood is None or rows.source == "keyed":
        return None
    terms = elbo_terms(Chunks(pair, max_batch=16), rows.x, seed=SEED, first_row=0, allow_nan=False)
    return -float(terms.elbo.mean())


def _speeds(fp32: Pair, variant: Pair, rows: Rows, batch: int) -> tuple[Speed, ...]:
    """Both graphs at batch 1 and a larger one."""
    roles: tuple[Role, ...] = ("encoder", "decoder")
    return tuple(_speed(fp32, variant, role, each, rows) for role in roles for each in (1, batch))


def _speed(fp32: Pair, variant: Pair, role: Role, batch: int, rows: Rows) -> Speed:
    names = list(fp32.manifest.encoder_outputs if role == "encoder" else fp32.manifest.decoder_outputs)
    few = next(rows.feeds(role, step=batch))
    feed: Feeds = {name: np.resize(values, (batch, *values.shape[1:])) for name, values in few.items()}
    seconds = medians(
        {
            "fp32": lambda: getattr(fp32, role).run(names, feed),
            "variant": lambda: getattr(variant, role).run(names, feed),
        }
    )
    return Speed(role=role, batch=batch, fp32=batch / seconds["fp32"], variant=batch / seconds["variant"])


def medians(arms: Mapping[str, Callable[[], object]], *, seconds: float = _SECONDS) -> dict[str, float]:
    """Median seconds of each arm, arms taken in turn for about so many seconds in all."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    end = time.perf_counter() + seconds
    most = int(_MOST * seconds / _SECONDS)
    for turn in range(-_WARM, most):
        if turn >= _FEWEST and time.perf_counter() > end:
            break
        for name, call in arms.items():
            begin = time.perf_counter()
            call()
            if turn >= 0:
                found[name].append(time.perf_counter() - begin)
    return {name: statistics.median(each) for name, each in found.items()}
