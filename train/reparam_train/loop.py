"""The training loop: step, validate, save, stop, resume.

Every step is a function of (weights, seed, step): the order of rows and the noise are keyed (see keyed.py), so a run
that is resumed from a checkpoint, in the middle of an epoch too, makes the same steps, to the bit on one device, as one
that was never interrupted.
"""

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from reparam.errors import OptionError, TrainingDiverged
from reparam_train import checkpoint, device, keyed, objectives, opening, record, signals
from reparam_train.binarize import binarized
from reparam_train.data.split import Data
from reparam_train.evaluate import scores
from reparam_train.model import VAE
from reparam_train.options import Options, VAEConfig
from reparam_train.schedule import step_size


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
    has no ELBO); and epoch and step."""
    seconds: float
    """Of this call, validation included."""
    rows_per_second: float
    """Training rows of this call, divided by seconds; 0 where the run was already complete."""
    stopped_early: bool
    """Whether `patience` ended it before its last epoch."""


@dataclass
class _Training:
    """A run in progress."""

    folder: Path
    data: Data
    options: Options
    device: torch.device
    model: VAE
    objective: objectives.Objective
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    best: float | None = None
    stale: int = 0
    saved_step: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """The short last one included."""
        return math.ceil(len(self.data.train) / self.options.batch_size)

    @property
    def out_of_patience(self) -> bool:
        """Whether too many validations in a row brought nothing better."""
        return self.options.patience is not None and self.stale >= self.options.patience


def fit(
    data: Data,
    config: VAEConfig,
    options: Options | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    progress: bool = False,
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

    Returns:
        The last validation's metrics, and time.

    Raises:
        OptionError: `out` holds something and `resume` is False; or what must not change was changed.
        InputError: the rows do not fit the model, or are not those of the run that is resumed.
        CheckpointError: `resume` where no good run is.
        DeviceUnavailable: device "cuda" without a card, or `compile` without a compiler.
        TrainingDiverged: the loss is not finite, with the step; the last good checkpoint is kept.
        OutputError: the folder cannot be written.
        Interrupted: Ctrl-C or SIGTERM came; the step in progress was finished and a checkpoint written. It is a
            KeyboardInterrupt.
    """
    options, folder = options or Options(), Path(out)
    data = data.head(options.limit)
    where = device.pick(options.device)
    if options.compile:
        device.check_compiler(where)
    now = opening.describe(data, config, options)
    opening.open_folder(folder, now, resume=resume)
    with device.torch_settings(options.threads), signals.kept() as pending:
        training = _build(folder, data.binarized(options.binarize, options.seed), config, options, where)
        if resume:
            _restore(training)
        record.write(folder, now)
        first_step, rows, start = training.step, 0, time.perf_counter()
        with tqdm(
            total=options.epochs * training.steps_per_epoch,
            initial=first_step,
            disable=not progress,
            file=sys.stderr,
            unit="step",
        ) as bar:
            while training.epoch < options.epochs and not training.out_of_patience:
                rows += _train_epoch(training, bar, pending)
                if training.epoch % options.validate_every == 0 or training.epoch == options.epochs:
                    _validate(training)
                    _save(training)
                    bar.set_postfix_str(_told(training.metrics))
                _stop_if_asked(training, pending)
        seconds = time.perf_counter() - start
    early = training.epoch < options.epochs
    return Result(folder, training.epoch, training.step, training.metrics, seconds, rows / seconds, early)


def _build(folder: Path, data: Data, config: VAEConfig, options: Options, where: torch.device) -> _Training:
    """A run at step 0. Adam: D. P. Kingma and J. Ba, ICLR 2015 (arXiv:1412.6980)."""
    model = VAE.build(config, seed=options.seed).to(where)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr, eps=options.adam_eps)
    steps = math.ceil(len(data.train) / options.batch_size)
    objective = objectives.build(model, options, steps_per_epoch=steps)
    if options.compile:
        objective.compile(dynamic=False)  # pyright: ignore[reportUnknownMemberType]  # torch leaves it untyped
    return _Training(folder, data, options, where, model, objective, optimizer)


def _restore(training: _Training) -> None:
    """Puts the last good checkpoint in place, if there is one yet."""
    state = checkpoint.read_state(training.folder)
    if state is None:
        return
    if state.step > training.options.epochs * training.steps_per_epoch:
        begun, given = math.ceil(state.step / training.steps_per_epoch), training.options.epochs
        raise OptionError(f"epochs: {training.folder} has begun epoch {begun}, got {given}; give more")
    checkpoint.load_model(training.folder, training.model, state)
    training.optimizer.load_state_dict(state.optimizer)
    training.epoch, training.step, training.metrics = state.epoch, state.step, state.metrics
    training.best, training.stale = state.best, state.stale


def _train_epoch(training: _Training, bar: Any, pending: signals.Pending) -> int:
    """The rest of a pass over the training rows in this epoch's order, and how many rows that was."""
    training.model.train()
    size, every = training.options.batch_size, training.options.checkpoint_every
    order = keyed.order(training.options.seed, epoch=training.epoch, rows=len(training.data.train))  # [n]
    done = (training.step - training.epoch * training.steps_per_epoch) * size  # rows of this epoch before a checkpoint
    for start in range(done, len(order), size):
        _step(training, order[start : start + size])
        bar.update()
        if every is not None and training.step % every == 0:
            _save(training)
        _stop_if_asked(training, pending)
    training.epoch += 1
    return max(0, len(order) - done)


def _stop_if_asked(training: _Training, pending: signals.Pending) -> None:
    """Ends the run with a checkpoint where a signal came."""
    if pending.signal is not None:
        if training.saved_step != training.step:
            _save(training)
        raise signals.Interrupted(training.folder, step=training.step, signal_number=pending.signal)


def _step(training: _Training, indices: Any) -> None:
    """One step of Adam on these rows, int64 [batch]."""
    objective = training.objective
    rows = training.data.train.batch(indices)  # [batch, *input]
    if training.options.binarize == "dynamic":
        rows = binarized(rows, training.options.seed, _numbers(training, len(indices)))
    x = torch.as_tensor(rows, device=training.device)  # [batch, *input]
    eps = torch.as_tensor(_noise(training, len(indices)), device=training.device)  # [draws, batch, latent]
    weight = torch.tensor(objective.weight(training.step), device=training.device)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=training.options.amp == "bf16"):
        loss: torch.Tensor = objective(x, eps, weight)
    if not math.isfinite(loss.item()):
        raise TrainingDiverged(
            f"loss: must stay finite, got {loss.item()} at step {training.step} (epoch {training.epoch}); "
            "use another --out with a smaller --lr, or check the scale of the data"
        )
    training.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    if training.options.clip_norm is not None:  # R. Pascanu, T. Mikolov and Y. Bengio, ICML 2013, algorithm 1
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), training.options.clip_norm)
    for group in training.optimizer.param_groups:
        group["lr"] = step_size(training.options, step=training.step, steps_per_epoch=training.steps_per_epoch)
    training.optimizer.step()
    training.step += 1


def _numbers(training: _Training, rows: int) -> range:
    """Numbers of the rows of this step's batch."""
    return keyed.training_rows(step=training.step, batch_size=training.options.batch_size, places=range(rows))


def _noise(training: _Training, rows: int) -> npt.NDArray[np.float32]:
    """The noise of this step, [draws, rows, latent]; empty for a plain autoencoder."""
    config, draws = training.model.config, training.objective.draws
    if draws == 0:
        return np.empty((0, rows, *config.latent_shape), np.float32)
    return keyed.training_noise(
        training.options.seed,
        step=training.step,
        batch_size=training.options.batch_size,
        places=range(rows),
        shape=config.latent_shape,
        law=config.law,
        draws=draws,
    )


def _told(metrics: dict[str, float]) -> str:
    """A validation in three words."""
    if "test_elbo" in metrics:
        return f"test ELBO {metrics['test_elbo']:.2f}"
    return f"test distortion {metrics['test_distortion']:.2f}"


def _validate(training: _Training) -> None:
    """ELBO over the test split, and whether it is the best so far."""
    found = scores(training.model, training.data.test, seed=training.options.seed)
    for name, value in found.items():
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"test {name}: must be finite, got {value} after {training.step} steps; "
                "use another --out with a smaller --lr"
            )
    metrics = {"epoch": float(training.epoch), "step": float(training.step)}
    training.metrics = metrics | {f"test_{name}": value for name, value in found.items()}
    score = found.get("elbo", -found["distortion"])
    if training.best is None or score > training.best:
        training.best, training.stale = score, 0
    else:
        training.stale += 1


def _save(training: _Training) -> None:
    """A checkpoint of this step; never one of weights that are not finite."""
    if not all(value.isfinite().all() for value in training.model.parameters()):
        raise TrainingDiverged(
            f"weights: must stay finite, they are not after {training.step} steps (epoch {training.epoch}); "
            "use another --out with a smaller --lr, or --clip-norm"
        )
    training.saved_step = training.step
    checkpoint.save(
        training.folder,
        checkpoint.State(
            model=training.model.state_dict(),
            optimizer=training.optimizer.state_dict(),
            epoch=training.epoch,
            step=training.step,
            metrics=training.metrics,
            best=training.best,
            stale=training.stale,
        ),
    )
