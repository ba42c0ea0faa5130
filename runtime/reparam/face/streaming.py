"""Many rows, a part at a time, in order and in bounded memory."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy.typing as npt

from reparam.engine.rows import Noise
from reparam.errors import OptionError
from reparam.face.base import Face


class Streaming(Face):
    """The part of `VAE` that streams."""

    def stream(
        self,
        rows: npt.NDArray[Any],
        *,
        op: Literal["encode", "sample", "decode", "reconstruct"],
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        allow_nan: bool = False,
    ) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """The same numbers as the call named by `op`, `max_batch` rows at a time, in order and in bounded memory.

        Args:
            rows: x [n, *input] (or z [n, *latent] for decode), for example a memory-mapped array.
            op: "encode" gives (mean, logvar), "sample" (z,), "decode" and "reconstruct" (x_hat,).
            eps: for sample, and for reconstruct from samples; see `sample`.
            seed: in place of eps.
            first_row: number of the first row.
            allow_nan: let NaN and infinite values through.

        Yields:
            Tuples of arrays of at most `max_batch` rows.
        """
        if op not in ("encode", "sample", "decode", "reconstruct"):
            raise OptionError(f"op: must be one of encode, sample, decode, reconstruct, got {op!r}")
        if op == "encode":
            self._rows.law()
        name = "z" if op == "decode" else "x"
        own, rows = self._rows.for_z(rows) if op == "decode" else self._rows.for_x(rows)
        noisy = eps is not None or seed is not None or first_row != 0
        if noisy and op in ("encode", "decode"):
            raise OptionError(f"eps, seed: {op} draws nothing; leave them out")
        eps_of: Noise = own.no_noise
        if op == "sample" or noisy:
            eps_of = own.noise_of(eps, seed=seed, first_row=first_row, rows=len(rows), allow_nan=allow_nan)
        runs = {
            "encode": own.encode,
            "sample": own.sampler(eps_of),
            "decode": own.decode,
            "reconstruct": own.reconstructor(eps_of),
        }
        return (tuple(part) for _, _, part in own.run(runs[op], rows, name, allow_nan=allow_nan))
