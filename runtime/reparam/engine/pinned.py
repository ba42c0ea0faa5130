"""The shortest way through a model: one batch size, buffers of its own, one caller.

What it saves against `VAE` is the binding of inputs and outputs on each call; what it costs is that it belongs to the
thread that made it.
"""

import dataclasses
from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from reparam.arrays import FLOAT32, FloatArray, check_out, check_pair, check_rows, read_rows
from reparam.engine import inherited
from reparam.engine.binding import Bound, Buffers, HostBuffers, Input, Output
from reparam.engine.captures import beside_captures
from reparam.engine.card_binding import CardBuffers
from reparam.engine.device import Device
from reparam.engine.pair import session_of
from reparam.engine.rows import Rows
from reparam.errors import ClosedError, InputError, OptionError, ReparamError, ThreadError
from reparam.integers import whole
from reparam.laws import Law
from reparam.posterior import Posterior


@dataclasses.dataclass(frozen=True)
class _Bound:
    """What an open model holds. `moments` is all that `encode` looks at: x, mean, logvar, what runs, and the law.

    Each look costs, since a run has just emptied the processor's caches; a deterministic model has none.
    """

    sampling: Bound
    decoding: Bound
    moments: tuple[Input, Output, Output, Callable[[], None], Law] | None


class Pinned:
    """A model for exactly `batch` rows a call; made by `VAE.pinned`, used in a `with` block, by one thread.

    Results are arrays of the caller's own, never the buffers. Every call raises `ThreadError` from another thread,
    `ClosedError` after the block, and what `VAE` raises for arrays that do not fit.

    Attributes:
        batch: rows of each call.
        cuda_graph: whether calls replay CUDA graphs.
    """

    def __init__(self, rows: Rows, batch: int, size: tuple[int, int] | None, *, cuda_graph: bool | None = None) -> None:
        self.batch: int = whole("batch", batch, low=1, high=2**20)
        self._rows = rows.at(size)
        pair = rows.pair
        buffers = _buffers(pair.device, cuda_graph=cuda_graph)
        encoder, decoder = session_of(pair.encoder), session_of(pair.decoder)
        law = self._rows.manifest.latent.noise
        latent = (self.batch, *self._rows.latent), FLOAT32
        image = (self.batch, *self._rows.input), self._rows.dtype
        encoder.hold({"x": image[0]} if law is None else {"x": image[0], "eps": latent[0]})
        decoder.hold({"z": latent[0]})
        x, moments = buffers.input(*image), None
        noise = {} if law is None else {"eps": buffers.input(*latent)}
        sampling = buffers.bind(encoder, {"x": x, **noise}, {"z": latent})
        decoding = buffers.bind(decoder, {"z": buffers.input(*latent)}, {"x_hat": image})
        if law is not None:
            quiet = buffers.bind(encoder, {"x": x, "eps": buffers.input(*latent)}, {"mean": latent, "logvar": latent})
            moments = (x, quiet.outputs[0], quiet.outputs[1], quiet.run, law)
        self.cuda_graph: bool = isinstance(buffers, CardBuffers) and bool(buffers.cuda_graph)
        self._let_go = beside_captures(setattr, card=pair.device.kind != "cpu")  # memory goes back to the card
        self._bound: _Bound | None = _Bound(sampling, decoding, moments)
        self._forks: int = inherited.forks
        self._thread: int = get_ident()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the buffers; any later call raises `ClosedError`."""
        self._let_go(self, "_bound", None)

    def encode(
        self, x: npt.NDArray[Any], *, out: tuple[FloatArray, FloatArray] | None = None, allow_nan: bool = False
    ) -> Posterior:
        """The posterior of each row; arguments, result and errors are those of `VAE.encode`, for `batch` rows.

        Args:
            x: [batch, *input].
            out: two float32 arrays [batch, *latent] to write mean and logvar into.
            allow_nan: let NaN and infinite values through.
        """
        bound = self._bound
        if bound is None or get_ident() != self._thread or inherited.forks != self._forks:
            raise self._refusal()
        if bound.moments is None:
            self._rows.law()  # raises
            raise AssertionError("a law without moments")
        slot, mean, logvar, run, law = bound.moments
        if not slot.takes(x, allow_nan=allow_nan):
            self._fill(slot, x, "x", allow_nan=allow_nan)
        if out is None:
            run()
            return Posterior(mean.copy(), logvar.copy(), law)
        outs = check_pair(out, shape=mean.shape)
        run()
        outs[0][:], outs[1][:] = mean, logvar
        return Posterior(*outs, law)

    def sample(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        out: FloatArray | None = None,
        allow_nan: bool = False,
    ) -> FloatArray:
        """One z of the posterior of each row; arguments, result and errors are those of `VAE.sample`."""
        noise_of = self._rows.noise_of(eps, seed=seed, first_row=first_row, rows=self.batch, allow_nan=allow_nan)
        binding = self._open().sampling
        self._fill(binding.inputs["x"], x, "x", allow_nan=allow_nan)
        if "eps" in binding.inputs:
            binding.inputs["eps"].put(noise_of(0, self.batch))
        return _run(binding, out)

    def decode(
        self, z: npt.NDArray[Any], *, out: npt.NDArray[Any] | None = None, allow_nan: bool = False
    ) -> npt.NDArray[Any]:
        """x_hat of each row of z; arguments, result and errors are those of `VAE.decode`."""
        binding = self._open().decoding
        self._fill(binding.inputs["z"], z, "z", allow_nan=allow_nan)
        return _run(binding, out)

    def _open(self) -> _Bound:
        bound = self._bound
        if bound is None or get_ident() != self._thread or inherited.forks != self._forks:
            raise self._refusal()
        return bound

    def _refusal(self) -> ReparamError:
        if self._bound is None:
            return ClosedError("this pinned model is closed; open another with vae.pinned")
        return ThreadError("a pinned model belongs to the thread and process that made it; each opens its own")

    def _fill(self, slot: Input, array: object, name: str, *, allow_nan: bool) -> None:
        """Copies checked rows into a buffer, whatever they come as."""
        if slot.takes(array, allow_nan=allow_nan):
            return
        rows = check_rows(array, name=name, row_shape=slot.shape[1:], dtype=slot.dtype)
        if len(rows) != self.batch:
            raise InputError(f"{name}: must have {self.batch} rows, as this pinned model was made for, got {len(rows)}")
        slot.put(read_rows(rows, 0, self.batch, name=name, allow_nan=allow_nan))


def _buffers(device: Device, *, cuda_graph: bool | None) -> Buffers:
    """Where a pinned model's arrays lie; `OptionError` for CUDA graphs on the CPU."""
    if device.kind != "cpu":
        return CardBuffers(device, cuda_graph=cuda_graph)
    if cuda_graph:
        raise OptionError("cuda_graph: there is none on the CPU; leave it out, or load with device='cuda'")
    return HostBuffers()


def _run(binding: Bound, out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    """Runs a graph; its only output in the caller's array, or in a new one."""
    (found,) = binding.outputs
    if out is not None:
        check_out(out, name="out", shape=found.shape, dtype=found.dtype)
    binding.run()
    if out is None:
        return found.copy()
    out[:] = found
    return out
