"""`Batcher`: one model for many threads and tasks, whose calls run joined."""

from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import numpy.typing as npt

from reparam.arrays import FloatArray
from reparam.batching.planning import plan_decode, plan_encode, plan_reconstruct, plan_sample, run_plan
from reparam.batching.queue import BatcherStats, CallQueue
from reparam.batching.runner import Runner
from reparam.engine.deadline import check_seconds
from reparam.engine.rows import Rows
from reparam.errors import OptionError
from reparam.face.base import rows_of
from reparam.integers import whole
from reparam.posterior import Posterior
from reparam.vae import VAE

_QUEUED_BATCHES: Final = 8  # that wait at most, where max_queue is left out


class Batcher:
    """Joins the calls of many threads and asyncio tasks into batches, each caller getting its own rows.

    Every method gives what the model's own gives for the same arguments, on CPU to the bit, and raises what it raises,
    to that caller alone: an error in one call spares those that ran beside it. The methods with an `a` in front are for
    tasks, and never block the loop but to check the arguments and draw the noise of a seed (about 0.1 ms a row).

    One thread runs the batches. It takes what waits as soon as it is free; where callers come back after each batch it
    waits until as many rows are there again, at most `max_delay`. A lone caller waits for nobody, but pays for two
    changes of thread, about 0.03 ms. An array that was handed over must not be changed before the answer.

    A batcher belongs to the process that made it: `ClosedError` in a child made by fork. Closing it leaves the model
    open. It stops its thread when it is closed, garbage, or the program ends.

    Examples:
        >>> import reparam
        >>> vae = reparam.load("models/digits", device="cpu")
        >>> with reparam.Batcher(vae, max_batch=64) as batcher:  # shared by every thread of a server
        ...     z = batcher.sample(vae.generate(1, seed=7), seed=7)
        >>> z.shape
        (1, 8)
    """

    def __init__(
        self, vae: VAE, *, max_batch: int | None = None, max_delay: float = 0.005, max_queue: int | None = None
    ) -> None:
        """Starts the thread.

        Args:
            vae: a loaded model; it may be used beside the batcher.
            max_batch: rows that run at a time, at least 1; None for the model's own.
            max_delay: seconds that a call waits at most for others to join it, 0 for never.
            max_queue: rows that wait at most, at least max_batch; None for 8 batches.

        Raises:
            OptionError: an option out of its range.
            ClosedError: the model is closed.
        """
        if not isinstance(vae, VAE):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise OptionError(f"vae: must be a model that reparam.load gave, got {type(vae).__qualname__}")
        rows = rows_of(vae)
        most = rows.max_batch if max_batch is None else whole("max_batch", max_batch, low=1)
        room = _QUEUED_BATCHES * most if max_queue is None else whole("max_queue", max_queue, low=most)
        delay = check_seconds("max_delay", max_delay)
        _ = rows.pair  # raises where the model is closed
        self._rows: Rows = rows
        queue = CallQueue(max_batch=most, max_delay=delay, max_queue=room)
        self._runner = Runner(queue, partial(run_plan, vae))

    # -- calls ---------------------------------------------------------------------------------------------------

    def encode(self, x: npt.NDArray[Any], *, allow_nan: bool = False, timeout: float | None = None) -> Posterior:
        """The posterior of each row; see `VAE.encode`.

        Args:
            x: [n, *input].
            allow_nan: let NaN and infinite values through.
            timeout: seconds until the call is given up; None for no end.

        Returns:
            Posterior with mean and logvar float32 [n, *latent].

        Raises:
            QueueFull: as many rows wait as may; nothing of the call ran.
            DeadlineExceeded: no answer within `timeout`; rows that had not begun never run.
            ClosedError: the batcher or the model is closed.
            InputError, InputTypeError, OptionError, RunError: as the model's own call.
        """
        plan = plan_encode(self._rows, x, allow_nan=allow_nan)
        mean, logvar = self._runner.wait(plan, timeout)
        return Posterior(mean, logvar, self._rows.law())

    def sample(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        allow_nan: bool = False,
        timeout: float | None = None,
    ) -> FloatArray:
        """One z of each row's posterior, float32 [n, *latent]; see `VAE.sample`, and `encode` for what is raised."""
        plan = plan_sample(self._rows, x, eps=eps, seed=seed, first_row=first_row, allow_nan=allow_nan)
        return self._runner.wait(plan, timeout)[0]

    def decode(self, z: npt.NDArray[Any], *, allow_nan: bool = False, timeout: float | None = None) -> npt.NDArray[Any]:
        """x_hat [n, *input] of z [n, *latent]; see `VAE.decode`, and `encode` for what is raised."""
        return self._runner.wait(plan_decode(self._rows, z, allow_nan=allow_nan), timeout)[0]

    def reconstruct(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        allow_nan: bool = False,
        timeout: float | None = None,
    ) -> npt.NDArray[Any]:
        """x_hat [n, *input] of each row; see `VAE.reconstruct`, and `encode` for what is raised."""
        plan = plan_reconstruct(self._rows, x, eps=eps, seed=seed, first_row=first_row, allow_nan=allow_nan)
        return self._runner.wait(plan, timeout)[0]

    # -- calls of tasks ------------------------------------------------------------------------------------------

    async def aencode(self, x: npt.NDArray[Any], *, allow_nan: bool = False, timeout: float | None = None) -> Posterior:
        """`encode` for a task. Where the task is cancelled, rows that had not begun never run."""
        plan = plan_encode(self._rows, x, allow_nan=allow_nan)
        mean, logvar = await self._runner.await_(plan, timeout)
        return Posterior(mean, logvar, self._rows.law())

    async def asample(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        allow_nan: bool = False,
        timeout: float | None = None,
    ) -> FloatArray:
        """`sample` for a task; see `aencode`."""
        plan = plan_sample(self._rows, x, eps=eps, seed=seed, first_row=first_row, allow_nan=allow_nan)
        return (await self._runner.await_(plan, timeout))[0]

    async def adecode(
        self, z: npt.NDArray[Any], *, allow_nan: bool = False, timeout: float | None = None
    ) -> npt.NDArray[Any]:
        """`decode` for a task; see `aencode`."""
        return (await self._runner.await_(plan_decode(self._rows, z, allow_nan=allow_nan), timeout))[0]

    async def areconstruct(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        allow_nan: bool = False,
        timeout: float | None = None,
    ) -> npt.NDArray[Any]:
        """`reconstruct` for a task; see `aencode`."""
        plan = plan_reconstruct(self._rows, x, eps=eps, seed=seed, first_row=first_row, allow_nan=allow_nan)
        return (await self._runner.await_(plan, timeout))[0]

    # -- life ----------------------------------------------------------------------------------------------------

    def stats(self) -> BatcherStats:
        """Calls and rows answered, batches run, and rows that wait now."""
        return self._runner.stats()

    def close(self, *, drain: bool = True) -> None:
        """Lets no call in any more, nor into a `with` block, and returns once the thread ended; closing twice is fine.

        Args:
            drain: answer the calls that wait; False refuses them with `ClosedError`. A batch that runs is always ended.
        """
        self._runner.close(drain=drain)

    def __enter__(self) -> Self:
        self._runner.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
