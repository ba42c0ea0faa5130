"""The calls of `VAE` for asyncio: the same arguments and results, computed away from the event loop."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy.typing as npt

from reparam.arrays import FloatArray
from reparam.engine.deadline import Deadline
from reparam.engine.pool import Pool
from reparam.face.coding import Coding
from reparam.mixture import GaussianMixture
from reparam.posterior import Posterior

_Result = TypeVar("_Result")


class Awaiting(Coding):
    """The part of `VAE` for tasks.

    Each call runs on a thread of the model's own; arrays must not be changed before it is done. A task that is
    cancelled while its call waits for a thread never runs it; one that runs is ended, its result dropped. A timeout
    counts from the call on, the wait for a thread included. For many small calls at a time a `Batcher` does more.
    """

    _pool: Pool

    async def aencode(
        self,
        x: npt.NDArray[Any],
        *,
        out: tuple[FloatArray, FloatArray] | None = None,
        allow_nan: bool = False,
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        timeout: float | None = None,
    ) -> Posterior:
        """`encode` for a task: x [n, *input] to the posterior of each row."""
        call = partial(self.encode, x, out=out, allow_nan=allow_nan, tile=tile, overlap=overlap)
        return await self._pool.run(_from_now(call, timeout))

    async def asample(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        out: FloatArray | None = None,
        allow_nan: bool = False,
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        timeout: float | None = None,
    ) -> FloatArray:
        """`sample` for a task: x [n, *input] to z, float32 [n, *latent]."""
        call = partial(self.sample, x, eps=eps, seed=seed, first_row=first_row, out=out)
        call = partial(call, allow_nan=allow_nan, tile=tile, overlap=overlap)
        return await self._pool.run(_from_now(call, timeout))

    async def adecode(
        self,
        z: npt.NDArray[Any],
        *,
        out: npt.NDArray[Any] | None = None,
        allow_nan: bool = False,
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        timeout: float | None = None,
    ) -> npt.NDArray[Any]:
        """`decode` for a task: z [n, *latent] to x_hat [n, *input]."""
        call = partial(self.decode, z, out=out, allow_nan=allow_nan, tile=tile, overlap=overlap)
        return await self._pool.run(_from_now(call, timeout))

    async def areconstruct(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        out: npt.NDArray[Any] | None = None,
        allow_nan: bool = False,
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        timeout: float | None = None,
    ) -> npt.NDArray[Any]:
        """`reconstruct` for a task: x [n, *input] to x_hat, of the same shape."""
        call = partial(self.reconstruct, x, eps=eps, seed=seed, first_row=first_row, out=out)
        call = partial(call, allow_nan=allow_nan, tile=tile, overlap=overlap)
        return await self._pool.run(_from_now(call, timeout))

    async def agenerate(
        self,
        n: int,
        *,
        seed: int,
        first_row: int = 0,
        size: tuple[int, int] | None = None,
        prior: GaussianMixture | None = None,
        out: npt.NDArray[Any] | None = None,
        timeout: float | None = None,
    ) -> npt.NDArray[Any]:
        """`generate` for a task: x_hat [n, *input] of n draws from the prior, or from a fitted one."""
        call = partial(self.generate, n, seed=seed, first_row=first_row, size=size, prior=prior, out=out)
        return await self._pool.run(_from_now(call, timeout))


def _from_now(call: Callable[..., _Result], timeout: float | None) -> Callable[[], _Result]:
    """The call with what is left of its timeout when a thread is free for it."""
    if timeout is None:
        return call
    deadline = Deadline(timeout)
    return lambda: call(timeout=deadline.left())
