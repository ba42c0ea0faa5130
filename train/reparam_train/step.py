"""One step of training: a batch as a function of the step's number, and what Adam does with it."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from reparam.errors import TrainingDiverged
from reparam_train import keyed
from reparam_train.binarize import binarized
from reparam_train.schedule import step_size
from reparam_train.training import Training


class Batch(NamedTuple):
    """This process's slice of a step's rows, with their noise."""

    x: npt.NDArray[np.float32]
    """[rows, *input]."""
    eps: npt.NDArray[np.float32]
    """[draws, rows, *latent]; no draws for a plain autoencoder."""
    rows: int
    """Of the global batch."""


def batch(training: Training, order: npt.NDArray[np.int64], step: int) -> Batch:
    """The batch of a step, counted over the whole run, for the order of its epoch's rows [n]."""
    options, size = training.options, training.options.batch_size
    start = step % training.steps_per_epoch * size
    indices = order[start : start + size]  # of the global batch
    places = training.group.slice(len(indices))
    x = training.data.train.batch(indices[places.start : places.stop])  # [rows, *input]
    if options.binarize == "dynamic":
        x = binarized(x, options.seed, keyed.training_rows(step=step, batch_size=size, places=places))
    return Batch(x, _noise(training, step, places), len(indices))


def _noise(training: Training, step: int, places: range) -> npt.NDArray[np.float32]:
    config, draws = training.model.config, training.objective.draws
    if draws == 0:
        return np.empty((0, len(places), *config.latent_shape), np.float32)
    return keyed.training_noise(
        training.options.seed,
        step=step,
        batch_size=training.options.batch_size,
        places=places,
        shape=config.latent_shape,
        law=config.law,
        draws=draws,
    )


def take(training: Training, given: Batch, *, signal: int) -> None:
    """One step of Adam; `signal` is what this process received since the last one, 0 for nothing.

    Raises:
        TrainingDiverged: the loss is not finite; the weights are those from before the step.
    """
    objective, group = training.objective, training.group
    x = torch.as_tensor(given.x, device=training.device)
    eps = torch.as_tensor(given.eps, device=training.device)
    weight = torch.tensor(objective.weight(training.step), device=training.device)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=training.options.amp == "bf16"):
        loss: torch.Tensor = training.loss(x, eps, weight)  # mean over this process's rows
    share = len(x) / given.rows  # of the global batch
    part = loss * share if len(x) else torch.zeros_like(loss)
    total, training.asked = group.agree(part, signal)
    if not math.isfinite(total):
        raise TrainingDiverged(
            f"loss: must stay finite, got {total} at step {training.step} (batch "
            f"{training.step % training.steps_per_epoch} of epoch {training.epoch}); "
            "use another --out with a smaller --lr, or check the scale of the data"
        )
    training.optimizer.zero_grad()
    # gradients are averaged over the processes: times their number, the mean over the rows of the global batch
    (loss * (share * group.size)).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    if training.options.clip_norm is not None:  # R. Pascanu, T. Mikolov and Y. Bengio, ICML 2013, algorithm 1
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), training.options.clip_norm)
    for parameters in training.optimizer.param_groups:
        parameters["lr"] = step_size(training.options, step=training.step, steps_per_epoch=training.steps_per_epoch)
    training.optimizer.step()
    training.step += 1
    training.losses += total * given.rows
