"""Before anything is timed: is an arm right? Held against fp32 on the CPU, with the same rows and the same eps."""

import contextlib
from collections.abc import Mapping
from typing import Final

from reparam.benchmark.feeds import Array, Feeds, again
from reparam.benchmark.opened import Call
from reparam.benchmark.report import Gate, Operation
from reparam.bundle.golden import decode_golden
from reparam.bundle.manifest import Bound, Worst
from reparam.bundle.reader import Bundle
from reparam.errors import VerificationError
from reparam.face.base import rows_of
from reparam.vae import VAE
from reparam.verification import bound_of, compare, held

REFERENCE: Final = "fp32 on the CPU"


def check_reference(bundle: Bundle, reference: VAE) -> None:
    """Holds fp32 on the CPU, which every arm is held against, to the golden vectors of the source model.

    Raises:
        VerificationError: it does not give them, so nothing can be compared.
    """
    golden = bundle.manifest.golden
    vectors = decode_golden(bundle.files[golden.file], bundle.manifest, where=f"{bundle.place}/{golden.file}")
    try:
        compare(rows_of(reference).pair, vectors, bound=bound_of(bundle.manifest, "fp32"))
    except VerificationError as error:
        raise VerificationError(
            f"{bundle.place}: {REFERENCE}, which every arm is held against, is wrong itself: {error}; nothing was timed"
        ) from None


def wanted_of(reference: VAE, feeds: Feeds) -> dict[Operation, dict[str, Array]]:
    """What every operation must give for these rows."""
    encoded: dict[str, Array] = {"z": feeds.z}
    if feeds.eps is not None:
        found = reference.encode(feeds.x)
        encoded = {"mean": found.mean, "logvar": found.logvar}
    return {
        "encode": encoded,
        "decode": {"x_hat": reference.decode(feeds.z)},
        "reconstruct": {"x_hat": reference.reconstruct(feeds.x, eps=feeds.eps)},
    }


class Judge:
    """One arm's way through the gate, a batch at a time."""

    def __init__(self, wanted: Mapping[str, Array], bound: Bound, who: str) -> None:
        self._wanted, self._bound, self._who = wanted, bound, who
        self._worst: dict[str, Worst] = {}
        self._batches: list[int] = []

    def hear(self, call: Call, batch: int) -> None:
        """Runs a call and holds its results.

        Raises:
            VerificationError: it is wrong; `refused` tells of it.
        """
        found = call.read(call.run())
        self._batches.append(batch)
        if set(found) != set(self._wanted):
            raise VerificationError(f"{self._who}: must give {sorted(self._wanted)}, got {sorted(found)}")
        for name, array in found.items():
            error = self._hold(name, array, again(self._wanted[name], batch), batch)
            old = self._worst.get(name, error)
            self._worst[name] = Worst(
                absolute=max(old.absolute, error.absolute), relative=max(old.relative, error.relative)
            )

    def _hold(self, name: str, found: Array, wanted: Array, batch: int) -> Worst:
        try:
            return held(name, found, wanted, self._bound, at=f"at batch {batch}", source=REFERENCE, graph=self._who)
        except VerificationError:
            anything = Bound(absolute=float("inf"), relative=0.0)
            with contextlib.suppress(VerificationError):  # no number tells how wrong NaN or another shape is
                self._worst[name] = held(name, found, wanted, anything, at="")
            raise

    def passed(self) -> Gate:
        """It was right at every batch that was heard."""
        return Gate(passed=True, bound=self._bound, batches=tuple(self._batches), worst=self._worst)

    def refused(self, reason: str) -> Gate:
        """It was not."""
        return Gate(passed=False, bound=self._bound, batches=tuple(self._batches), worst=self._worst, reason=reason)
