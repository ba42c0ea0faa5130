"""Several processes that share an evaluation: each scores blocks of rows, which are joined in order.

Blocks are those that `running.py` sums in one go, so the result is that of one process, to the bit on one machine.
"""

import functools
import importlib.metadata
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reparam.engine.options import LoadOptions
from reparam.engine.rows import Rows
from reparam.errors import MissingExtra, RunError
from reparam.evaluation import Evaluation, Tally, summary, tally_rows
from reparam.face.base import rows_of
from reparam.running import BLOCK
from reparam.vae import VAE

EVALUATORS: Final = "reparam.evaluators"  # entry points: `pieces` of a source, and `run`, which scores a run


@dataclass(frozen=True)
class Scoring:
    """A bundle, the rows that it is to score, and how; `data`, `split` and `limit` as `reparam evaluate` takes them.

    The options name a device that is really there, the manifest that was read, and threads for each process.
    """

    bundle: str
    options: LoadOptions
    data: str
    split: str
    limit: int | None
    seed: int
    samples: int


def evaluator(name: str) -> Any:
    """What a package gives to evaluate by; `MissingExtra` where none does."""
    for entry in importlib.metadata.entry_points(group=EVALUATORS, name=name):
        return entry.load()
    raise MissingExtra(f"no package gives the evaluator {name!r}; pip install 'reparam[train]'")


def score(task: Scoring, own: Rows, count: int, *, workers: int, advance: Callable[[int], None]) -> Evaluation:
    """Starts the processes, gives each a block at a time, and joins what they find.

    Args:
        task: what to score.
        own: the bundle's rows, for their shapes.
        count: how many rows there are.
        workers: processes.
        advance: told how many more rows are scored.

    Raises:
        ReparamError: the first error of any worker, in the order of the rows.
        RunError: a worker was ended from outside, for lack of memory as a rule.
    """
    spans = [(start, min(count, start + BLOCK)) for start in range(0, count, BLOCK)]
    context = multiprocessing.get_context("spawn")  # a fork would take a copy of whatever threads hold here
    others = set(multiprocessing.active_children())
    total = Tally()
    with ProcessPoolExecutor(max(1, min(workers, len(spans))), context, _quiet) as pool:
        try:
            found = pool.map(functools.partial(_block, task), spans)
            for (start, stop), (tally, shape) in zip(spans, found, strict=True):
                total.join(tally)
                own = own.for_shape((1, *shape), "x")
                advance(stop - start)
        except BaseException as error:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                told = "--workers: a worker process was ended; use fewer workers or a smaller --max-batch"
                raise RunError(told) from None
            raise
    return summary(total, own, seed=task.seed, samples=task.samples)


def _quiet() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to answer


@functools.cache
def _opened(task: Scoring) -> tuple[Rows, Any]:
    """The model and the rows of a worker, for as long as it lives."""
    found = evaluator("pieces")(task.data, split=task.split, limit=task.limit, target=Path(task.bundle))
    return rows_of(VAE(task.bundle, task.options)), found


def _block(task: Scoring, span: tuple[int, int]) -> tuple[Tally, tuple[int, ...]]:
    """The tally of some rows, and the shape of one."""
    rows, pieces = _opened(task)
    parts = pieces.part(*span)
    tally, own = tally_rows(rows, parts, seed=task.seed, samples=task.samples, progress=lambda _: None, first=span[0])
    return tally.folded(), own.input
