"""The training loop: step, validate, save, resume.

Every step is a function of (weights, seed, step): the order of rows and the noise are keyed (see keyed.py), so a run
that is resumed from a checkpoint makes the same steps, to the bit on one device, as one that was never interrupted.
"""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from reparam.errors import OptionError, TrainingDiverged
from reparam_train import checkpoint, device, keyed, objectives, opening, record
from reparam_train.binarize import binarized
from reparam_train.data.split import Data
from reparam_train.evaluate import scores
from reparam_train.model import VAE
from reparam_train.options import Options, VAEConfig


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


def fit(
    data: Data,
    config: VAEConfig,
    options: Options | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    progress: bool = False,
) -> Result:
    """Trains a model and leaves a run folder: run.json, checkpoints, metrics.jsonl.

    Args:
        data: of `reparam_train.data.load`; `options.limit` is applied here.
        config: the model, for example of `config_for(data)`.
        options: how to train; left out, the defaults of `Options`.
        out: the run folder; new or empty, or with `resume` one that holds a run.
        resume: continue from the run's checkpoint. epochs, device, validate_every and threads may differ from before.
        progress: a progress bar on stderr.

    Returns:
        The last validation's metrics, and time.

    Raises:
        OptionError: `out` holds something and `resume` is False; or what must not change was changed.
        InputError: the rows do not fit the model, or are not those of the run that is resumed.
        CheckpointError: `resume` where no good run is.
        DeviceUnavailable: device "cuda" without a card.
        TrainingDiverged: the loss is not finite, with the step; the last good checkpoint is kept.
        OutputError: the folder cannot be written.
    """
    options, folder = options or Options(), Path(out)
    data = data.head(options.limit)
    where = device.pick(options.device)
    now = opening.describe(data, config, options)
    opening.open_folder(folder, now, resume=resume)
    with device.torch_settings(options.threads):
        training = _build(folder, data.binarized(options.binarize, options.seed), config, options, where)
        metrics = _restore(training) if resume else {}
        record.write(folder, now)
        first_step, rows, start = training.step, 0, time.perf_counter()
        with tqdm(
            total=options.epochs * _steps(training),
            initial=first_step,
            disable=not progress,
            file=sys.stderr,
            unit="step",
        ) as bar:
            while training.epoch < options.epochs:
                _train_epoch(training, bar)
                rows += len(data.train)
                if training.epoch % options.validate_every == 0 or training.epoch == options.epochs:
                    metrics = _validate_and_save(training)
                    bar.set_postfix_str(_told(metrics))
        seconds = time.perf_counter() - start
    return Result(folder, training.epoch, training.step, metrics, seconds, rows / seconds)


def _build(folder: Path, data: Data, config: VAEConfig, options: Options, where: torch.device) -> _Training:
    """A run at step 0. Adam: D. P. Kingma and J. Ba, ICLR 2015 (arXiv:1412.6980)."""
    model = VAE.build(config, seed=options.seed).to(where)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr, eps=options.adam_eps)
    steps = math.ceil(len(data.train) / options.batch_size)
    objective = objectives.build(model, options, steps_per_epoch=steps)
    return _Training(folder, data, options, where, model, objective, optimizer)


def _restore(training: _Training) -> dict[str, float]:
    """Puts the last good checkpoint in place, if there is one yet, and gives its metrics."""
    state = checkpoint.read_state(training.folder)
    if state is None:
        return {}
    if state.epoch > training.options.epochs:
        raise OptionError(f"epochs: {training.folder} has done {state.epoch}, got {training.options.epochs}; give more")
    checkpoint.load_model(training.folder, training.model, state)
    training.optimizer.load_state_dict(state.optimizer)
    training.epoch, training.step = state.epoch, state.step
    return state.metrics


def _steps(training: _Training) -> int:
    """Steps an epoch, the short last one included."""
    return math.ceil(len(training.data.train) / training.options.batch_size)


def _train_epoch(training: _Training, bar: Any) -> None:
    """One pass over the training rows in this epoch's order."""
    training.model.train()
    order = keyed.order(training.options.seed, epoch=training.epoch, rows=len(training.data.train))  # [n]
    for start in range(0, len(order), training.options.batch_size):
        _step(training, order[start : start + training.options.batch_size])
        bar.update()
    training.epoch += 1


def _step(training: _Training, indices: Any) -> None:
    """One step of Adam on these rows, int64 [batch]."""
    objective = training.objective
    rows = training.data.train.batch(indices)  # [batch, *input]
    if training.options.binarize == "dynamic":
        rows = binarized(rows, training.options.seed, _numbers(training, len(indices)))
    x = torch.as_tensor(rows, device=training.device)  # [batch, *input]
    eps = torch.as_tensor(_noise(training, len(indices)), device=training.device)  # [draws, batch, latent]
    weight = torch.tensor(objective.weight(training.step), device=training.device)
    loss: torch.Tensor = objective(x, eps, weight)
    if not math.isfinite(loss.item()):
        raise TrainingDiverged(
            f"loss: must stay finite, got {loss.item()} at step {training.step} (epoch {training.epoch}); "
            "use another --out with a smaller --lr, or check the scale of the data"
        )
    training.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    training.optimizer.step()
    training.step += 1


def _numbers(training: _Training, rows: int) -> range:
    """Numbers of the rows of this step's batch."""
    return keyed.training_rows(step=training.step, batch_size=training.options.batch_size, places=range(rows))


def _noise(training: _Training, rows: int) -> npt.NDArray[np.float32]:
    """The noise of this step, [draws, rows, latent]; empty for a plain autoencoder."""
    config, draws = training.model.config, training.objective.draws
    if draws == 0:
        return np.empty((0, rows, config.latent), np.float32)
    return keyed.training_noise(
        training.options.seed,
        step=training.step,
        batch_size=training.options.batch_size,
        places=range(rows),
        shape=(config.latent,),
        law=config.law,
        draws=draws,
    )


def _told(metrics: dict[str, float]) -> str:
    """A validation in three words."""
    if "test_elbo" in metrics:
        return f"test ELBO {metrics['test_elbo']:.2f}"
    return f"test distortion {metrics['test_distortion']:.2f}"


def _validate_and_save(training: _Training) -> dict[str, float]:
    """ELBO over the test split, then a checkpoint that holds it."""
    found = scores(training.model, training.data.test, seed=training.options.seed)
    for name, value in found.items():
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"test {name}: must be finite, got {value} after {training.step} steps; "
                "use another --out with a smaller --lr"
            )
    metrics = {"epoch": float(training.epoch), "step": float(training.step)}
    metrics |= {f"test_{name}": value for name, value in found.items()}
    checkpoint.save(
        training.folder,
        checkpoint.State(
            model=training.model.state_dict(),
            optimizer=training.optimizer.state_dict(),
            epoch=training.epoch,
            step=training.step,
            metrics=metrics,
        ),
    )
    return metrics
