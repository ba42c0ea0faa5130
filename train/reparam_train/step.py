"""One step of training: a batch as a function of the step's number, and what Adam does with it."""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from reparam.errors import TrainingDiverged
from reparam.laws import row_ids
from reparam_train import keyed
from reparam_train.binarize import binarized
from reparam_train.schedule import step_size
from reparam_train.training import Training

_SWEEP_EVERY: Final = 100  # steps
_FADED: Final = 1e-30
_LEAST_EPS: Final = 1e-12  # a thousand times the root of what is faded
_ROWS_AT_ONCE: Final = 2048
_BYTES_AT_ONCE: Final = 2**24


class Batch(NamedTuple):
    """This process's slice of a step's rows, with their noise."""

    x: npt.NDArray[np.float32]
    """[rows, *input]."""
    eps: npt.NDArray[np.float32]
    """[draws, rows, *latent]; no draws for a plain autoencoder."""
    rows: int
    """Of the global batch."""
    share: float
    """Weight of the slice in the mean over the global batch."""


def batches(training: Training, order: npt.NDArray[np.int64], steps: range) -> Iterator[Batch]:
    """The batches of some steps of an epoch, steps counted over the whole run, for the order of its rows [n].

    Several steps' batches are made at once, as far as memory allows: a call costs more than its values.
    """
    row_bytes = 4 * math.prod(training.model.config.input_shape)
    rows = min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // row_bytes)
    several = max(1, rows // training.options.batch_size)
    for first in range(steps.start, steps.stop, several):
        yield from _several(training, order, range(first, min(first + several, steps.stop)))


def _several(training: Training, order: npt.NDArray[np.int64], steps: range) -> Iterator[Batch]:
    options, config, size = training.options, training.model.config, training.options.batch_size
    indices, numbers, ends = [np.empty(0, np.int64)], [np.empty(0, np.uint64)], [0]
    sizes: list[int] = []
    for step in steps:
        start = step % training.steps_per_epoch * size
        batch = order[start : start + size]  # global
        places = training.group.slice(len(batch))
        indices.append(batch[places.start : places.stop])
        numbers.append(row_ids(keyed.training_rows(step=step, batch_size=size, places=places)))
        ends.append(ends[-1] + len(places))
        sizes.append(len(batch))
    rows = np.concatenate(numbers)
    x = training.data.train.batch(np.concatenate(indices))  # [all rows, *input]
    if options.binarize == "dynamic":
        x = binarized(x, options.seed, rows)
    draws = training.objective.draws
    law = config.law if draws else "normal"
    eps = keyed.training_noise(options.seed, rows=rows, shape=config.latent_shape, law=law, draws=draws)
    for start, end, count in zip(ends, ends[1:], sizes, strict=False):
        yield Batch(x[start:end], eps[:, start:end], count, training.group.share(count))


def _sweep(optimizer: torch.optim.Optimizer) -> None:
    """Sets Adam's moments that have faded away to 0.

    A weight that gets no gradient for some hundred steps, such as that of a pixel which is nearly always black, has a
    first moment that decays into subnormal numbers, which processors add and multiply many times slower. At 1e-30 it
    moves no weight: what Adam adds to the denominator is far larger, or there is no sweep. Between two sweeps a moment
    decays to 0.9^100 of itself, so none is ever subnormal.
    """
    for state in optimizer.state.values():
        for name in ("exp_avg", "exp_avg_sq"):
            moment: torch.Tensor = state[name]
            moment.masked_fill_(moment.abs() < _FADED, 0)


def take(training: Training, given: Batch, *, signal: int) -> None:
    """One step of Adam; `signal` is what this process received since the last one, 0 for nothing.

    Raises:
        TrainingDiverged: the loss is not finite; these weights are not for saving.
    """
    # copies, aligned as torch aligns: the last bit of a matrix product may depend on where its operands lie
    x, eps = (torch.as_tensor(values).to(training.device, copy=True) for values in (given.x, given.eps))
    weight = torch.tensor(training.objective.weight(training.step), device=training.device)
    lr = step_size(training.options, step=training.step, steps_per_epoch=training.steps_per_epoch)
    if training.compiled is None:
        total = _by_parts(training, (x, eps, weight), given.share, lr=lr, signal=signal)
    else:
        loss = training.compiled(x, eps, weight, step=training.step, lr=lr)
        total, training.asked = training.group.agree(loss, signal)
        _check_finite(training, total)
    training.step += 1
    if training.step % _SWEEP_EVERY == 0 and training.options.adam_eps >= _LEAST_EPS:
        _sweep(training.optimizer)
    training.losses += total * given.rows


def _by_parts(
    training: Training, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], share: float, *, lr: float, signal: int
) -> float:
    """Loss, gradient and update one after the other, shared among the processes; the loss of the global batch."""
    group = training.group
    with torch.autocast(training.device.type, torch.bfloat16, enabled=training.options.amp == "bf16"):
        loss: torch.Tensor = training.loss(*batch)  # mean over this process's rows
    total, training.asked = group.agree(loss * share, signal)
    _check_finite(training, total)
    training.optimizer.zero_grad()
    # gradients are averaged over the processes: times their number, the mean over the rows of the global batch
    (loss * (share * group.size)).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    if training.options.clip_norm is not None:  # R. Pascanu, T. Mikolov and Y. Bengio, ICML 2013, algorithm 1
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), training.options.clip_norm)
    for parameters in training.optimizer.param_groups:
        parameters["lr"] = lr
    training.optimizer.step()
    return total


def _check_finite(training: Training, loss: float) -> None:
    if not math.isfinite(loss):
        raise TrainingDiverged(
            f"loss: must stay finite, got {loss} at step {training.step} (batch "
            f"{training.step % training.steps_per_epoch} of epoch {training.epoch}); "
            "use another --out with a smaller --lr, or check the scale of the data"
        )
