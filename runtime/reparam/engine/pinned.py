"""The shortest way through a model: one batch size, buffers of its own, one caller.

What it saves against `VAE` is the binding of inputs and outputs on each call; what it costs is that it belongs to the
thread that made it.
"""

import os
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, check_out, check_pair, check_rows, finite, read_rows
from reparam.engine.binding import Binding
from reparam.engine.pair import decoder_contract, encoder_contract, session_of
from reparam.engine.rows import Rows
from reparam.errors import ClosedError, InputError, OptionError, ThreadError
from reparam.integers import whole
from reparam.posterior import Posterior


class Pinned:
    """A model for exactly `batch` rows a call; made by `VAE.pinned`, used in a `with` block, by one thread.

    Results are arrays of the caller's own, never the buffers. Every call raises `ThreadError` from another thread,
    `ClosedError` after the block, and what `VAE` raises for arrays that do not fit.
    """

    def __init__(self, rows: Rows, batch: int, size: tuple[int, int] | None) -> None:
        self.batch: int = whole("batch", batch, low=1, high=2**20)
        self._rows = rows.at(size)
        pair = rows.pair
        if pair.device.kind != "cpu":
            raise OptionError(f"pinned: runs on the CPU, this model is on {pair.device}; load it with device='cpu'")
        manifest = self._rows.manifest
        encoder, decoder = encoder_contract(pair.manifest), decoder_contract(pair.manifest)
        shapes = {**manifest.encoder_inputs, **manifest.encoder_outputs, **manifest.decoder_outputs}
        self._encoder: Binding | None = Binding(session_of(pair.encoder), encoder, self.batch, shapes)
        self._decoder: Binding | None = Binding(session_of(pair.decoder), decoder, self.batch, shapes)
        self._quiet = True  # whether the buffer of eps holds zeros
        self._owner = os.getpid(), threading.get_ident()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the buffers; any later call raises `ClosedError`."""
        self._encoder = self._decoder = None

    def encode(
        self, x: npt.NDArray[Any], *, out: tuple[FloatArray, FloatArray] | None = None, allow_nan: bool = False
    ) -> Posterior:
        """The posterior of each row; arguments, result and errors are those of `VAE.encode`, for `batch` rows.

        Args:
            x: [batch, *input].
            out: two float32 arrays [batch, *latent] to write mean and logvar into.
            allow_nan: let NaN and infinite values through.
        """
        law, binding = self._rows.law(), self._of(self._encoder)
        self._fill(binding.inputs["x"], x, "x", allow_nan=allow_nan)
        if not self._quiet:
            binding.inputs["eps"][:] = 0
            self._quiet = True
        mean, logvar = binding.outputs["mean"], binding.outputs["logvar"]
        outs = None if out is None else check_pair(out, shape=mean.shape)
        binding.run()
        if outs is None:
            return Posterior(mean.copy(), logvar.copy(), law)
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
        binding = self._of(self._encoder)
        self._fill(binding.inputs["x"], x, "x", allow_nan=allow_nan)
        if not self._rows.manifest.deterministic:
            binding.inputs["eps"][:] = noise_of(0, self.batch)
            self._quiet = False
        return _run(binding, "z", out)

    def decode(
        self, z: npt.NDArray[Any], *, out: npt.NDArray[Any] | None = None, allow_nan: bool = False
    ) -> npt.NDArray[Any]:
        """x_hat of each row of z; arguments, result and errors are those of `VAE.decode`."""
        binding = self._of(self._decoder)
        self._fill(binding.inputs["z"], z, "z", allow_nan=allow_nan)
        return _run(binding, "x_hat", out)

    def _of(self, binding: Binding | None) -> Binding:
        if binding is None:
            raise ClosedError("this pinned model is closed; open another with vae.pinned")
        if (os.getpid(), threading.get_ident()) != self._owner:
            raise ThreadError("a pinned model belongs to the thread and process that made it; each opens its own")
        return binding

    def _fill(self, buffer: npt.NDArray[Any], array: npt.NDArray[Any], name: str, *, allow_nan: bool) -> None:
        """Copies checked rows into a buffer."""
        if type(array) is np.ndarray and array.dtype is buffer.dtype and array.shape == buffer.shape:
            buffer[...] = array
            if allow_nan or finite(buffer):
                return
        rows = check_rows(array, name=name, row_shape=buffer.shape[1:], dtype=buffer.dtype)
        if len(rows) != self.batch:
            raise InputError(f"{name}: must have {self.batch} rows, as this pinned model was made for, got {len(rows)}")
        buffer[...] = read_rows(rows, 0, self.batch, name=name, allow_nan=allow_nan)


def _run(binding: Binding, name: str, out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    """Runs a graph; its output in the caller's array, or in a new one."""
    found = binding.outputs[name]
    if out is not None:
        check_out(out, name="out", shape=found.shape, dtype=found.dtype)
    binding.run()
    if out is None:
        return found.copy()
    out[:] = found
    return out
