"""The training loop: step, validate, save, stop, resume.

Every step is a function of (weights, seed, step): the order of rows and the noise are keyed (see keyed.py), so a run
that is resumed from a checkpoint, in the middle of an epoch too, makes the same steps, to the bit on one device, as one
that was never interrupted.
"""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reparam.errors import OptionError, TrainingDiverged
from reparam_train import device, distributed, keyed, opening, record, signals, step, training
from reparam_train.data.split import Data
from reparam_train.evaluate import scores
from reparam_train.observers import Observer, Validation
from reparam_train.options import Options, VAEConfig
from reparam_train.preflights import preflights
from reparam_train.training import Training


@dataclass(frozen=True)
class Result:
    """What a call of `fit` did."""

    run: Path
    epochs: int
    """Of the run in all."""
    steps: int
    """Of the run in all."""
    metrics: dict[str, float]
    """Of the last validation, nats per row: test_elbo, test_rate, test_distortion (alone for a plain autoencoder, which
    has no ELBO), train_loss, the mean of the epoch's losses as they were made smaller; and epoch and step."""
    seconds: float
    """Of this call, validation included."""
    rows_per_second: float
    """Training rows of this call, divided by seconds; 0 where the run was already complete."""
    stopped_early: bool
    """Whether `patience` ended it before its last epoch."""


def fit(
    data: Data,
    config: VAEConfig,
    options: Options | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    progress: bool = False,
    preflight: bool = False,
    observers: Sequence[Observer] = (),
) -> Result:
    """Trains a model and leaves a run folder: run.json, checkpoints, metrics.jsonl and metrics.csv.

    Args:
        data: of `reparam_train.data.load`; `options.limit` is applied here.
        config: the model, for example of `config_for(data)`.
        options: how to train; left out, the defaults of `Options`.
        out: the run folder; new or empty, or with `resume` one that holds a run.
        resume: continue from the run's checkpoint. epochs (not with a cosine schedule), device, validate_every,
            threads, patience and checkpoint_every may differ from before.
        progress: a progress bar on stderr.
        preflight: before the first step of a new run, ask what the entry points `reparam.preflight` say of the model:
            with the extra `export`, whether it can be exported.
        observers: called in this order after each validation, once its checkpoint is written.

    Returns:
        The last validation's metrics, and time.

    Raises:
        OptionError: `out` holds something and `resume` is False; or what must not change was changed.
        InputError: the rows do not fit the model, or are not those of the run that is resumed.
        CheckpointError: `resume` where no good run is.
        DeviceUnavailable: device "cuda" without a card, or `compile` without a compiler.
        ExportError, VerificationError: of `preflight`.
        TrainingDiverged: the loss is not finite, with the step; the last good checkpoint is kept.
        OutputError: the folder cannot be written.
        Interrupted: Ctrl-C or SIGTERM came; the step in progress was finished and a checkpoint written. It is a
            KeyboardInterrupt.
    """
    options, folder = options or Options(), Path(out)
    data = data.head(options.limit)
    where = distributed.local_device(device.pick(options.device))
    if options.compile:
        device.check_compiler(where)
    with (
        distributed.joined(where) as group,
        device.torch_settings(options.threads),
        signals.kept() as pending,
    ):
        if options.batch_size < group.size:
            raise OptionError(
                f"batch_size: needs a row for each of {group.size} processes, got {options.batch_size}; give more"
            )
        now = opening.describe(data, config, options)
        group.once(lambda: opening.open_folder(folder, now, resume=resume))
        data = data.binarized(options.binarize, options.seed)
        run = training.build(folder, data, config, options, device=where, group=group)
        if resume:
            training.restore(run)
        elif preflight:
            group.once(lambda: preflights(run.model))
        group.once(lambda: record.write(folder, now))
        first_step, rows, start = run.step, 0, time.perf_counter()
        with tqdm(
            total=options.epochs * run.steps_per_epoch,
            initial=first_step,
            disable=not (progress and group.first),
            file=sys.stderr,
            unit="step",
        ) as bar:
            while run.epoch < options.epochs and not run.out_of_patience:
                rows += _train_epoch(run, bar, pending)
                if run.epoch % options.validate_every == 0 or run.epoch == options.epochs:
                    _validate(run)
                    training.save(run)
                    bar.set_postfix_str(_told(run.metrics))
                    group.once(lambda: _show(run, observers))
                _stop_if_asked(run, pending)
        seconds = time.perf_counter() - start
    early = run.epoch < options.epochs
    return Result(folder, run.epoch, run.step, run.metrics, seconds, rows / seconds, early)


def _train_epoch(run: Training, bar: Any, pending: signals.Pending) -> int:
    """The rest of a pass over the training rows in this epoch's order, and how many rows that was."""
    run.model.train()
    every = run.options.checkpoint_every
    order = keyed.order(run.options.seed, epoch=run.epoch, rows=len(run.data.train))  # [n]
    start = run.epoch * run.steps_per_epoch
    if run.step == start:
        run.losses = 0.0
    steps = range(run.step, start + run.steps_per_epoch)
    for batch in step.batches(run, order, steps):
        step.take(run, batch, signal=pending.signal or 0)
        bar.update()
        if every is not None and run.step % every == 0:
            training.save(run)
        _stop_if_asked(run, pending)
    run.epoch += 1
    return max(0, len(order) - (steps.start - start) * run.options.batch_size)


def _stop_if_asked(run: Training, pending: signals.Pending) -> None:
    """Ends the run with a checkpoint where a signal came; several processes end after the same step."""
    number = (pending.signal or 0) if run.group.size == 1 else run.asked
    if number:
        if run.saved_step != run.step:
            training.save(run)
        raise signals.Interrupted(run.folder, step=run.step, signal_number=number)


def _told(metrics: dict[str, float]) -> str:
    """A validation in three words."""
    if "test_elbo" in metrics:
        return f"test ELBO {metrics['test_elbo']:.2f}"
    return f"test distortion {metrics['test_distortion']:.2f}"


def _validate(run: Training) -> None:
    """ELBO over the test split, and whether it is the best so far."""
    found = scores(run.model, run.data.test, seed=run.options.seed, group=run.group)
    for name, value in found.items():
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"test {name}: must be finite, got {value} after {run.step} steps; "
                "use another --out with a smaller --lr"
            )
    metrics = {"epoch": float(run.epoch), "step": float(run.step), "train_loss": run.losses / len(run.data.train)}
    run.metrics = metrics | {f"test_{name}": value for name, value in found.items()}
    score = found.get("elbo", -found["distortion"])
    if run.best is None or score > run.best:
        run.best, run.stale = score, 0
    else:
        run.stale += 1


def _show(run: Training, observers: Sequence[Observer]) -> None:
    """The validation that was just saved, to each observer."""
    now = Validation(
        folder=run.folder,
        model=run.model,
        data=run.data,
        seed=run.options.seed,
        epoch=run.epoch,
        step=run.step,
        metrics=run.metrics,
    )
    for observer in observers:
        observer(now)
