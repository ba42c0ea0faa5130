"""A run in progress: the model with its optimiser, how far it has come, and its way into a checkpoint and back."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from reparam.errors import OptionError, TrainingDiverged
from reparam_train import checkpoint, objectives
from reparam_train.compiled import CompiledStep, fits
from reparam_train.data.split import Data
from reparam_train.distributed import Group
from reparam_train.model import VAE
from reparam_train.options import NETS, Options, VAEConfig


@dataclass
class Training:
    """All that a step changes or needs."""

    folder: Path
    data: Data
    options: Options
    device: torch.device
    group: Group
    model: VAE
    objective: objectives.Objective
    loss: nn.Module
    """The objective, so wrapped that gradients become those of the global batch."""
    optimizer: torch.optim.Optimizer
    compiled: CompiledStep | None = None
    """Takes whole steps in place of objective and optimiser, where `compile` asks for it and it can be."""
    epoch: int = 0
    """Epochs that are done."""
    step: int = 0
    """Steps that are done, over the whole run."""
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    losses: float = 0.0
    """Sum over the rows of this epoch's steps so far, nats."""
    best: float | None = None
    stale: int = 0
    saved_step: int | None = None
    asked: int = 0
    """The signal that asks the run to stop, as all processes agreed on it with the last step; 0 for none."""

    @property
    def steps_per_epoch(self) -> int:
        """The short last one included."""
        return math.ceil(len(self.data.train) / self.options.batch_size)

    @property
    def out_of_patience(self) -> bool:
        """Whether too many validations in a row brought nothing better."""
        return self.options.patience is not None and self.stale >= self.options.patience


def build(
    folder: Path, data: Data, config: VAEConfig, options: Options, *, device: torch.device, group: Group
) -> Training:
    """A run at step 0. Adam: D. P. Kingma and J. Ba, ICLR 2015 (arXiv:1412.6980)."""
    model = VAE.build(config, seed=options.seed)
    if not any(value.requires_grad for value in model.parameters()):
        raise OptionError(f"net: {config.net} must have weights to train, got none; give it layers that learn")
    model.start_at(torch.as_tensor(data.train.mean()))
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr, eps=options.adam_eps, fused=True)
    steps = math.ceil(len(data.train) / options.batch_size)
    objective = objectives.build(model, options, steps_per_epoch=steps)
    run = Training(folder, data, options, device, group, model, objective, objective, optimizer)
    if options.compile and group.size == 1 and fits(objective, device):
        run.compiled = CompiledStep(objective, optimizer, clip_norm=options.clip_norm, amp=options.amp == "bf16")
    elif options.compile:
        objective.compile(dynamic=False)  # pyright: ignore[reportUnknownMemberType]  # torch leaves it untyped
    run.loss = group.averaging(objective, all_used=config.net in NETS)  # of an own net nobody knows
    return run


def restore(training: Training) -> None:
    """Puts the last good checkpoint in place, if there is one yet."""
    state = training.group.once(lambda: checkpoint.read_state(training.folder))
    if state is None:
        return
    if state.step > training.options.epochs * training.steps_per_epoch:
        begun, given = math.ceil(state.step / training.steps_per_epoch), training.options.epochs
        raise OptionError(f"epochs: {training.folder} has begun epoch {begun}, got {given}; give more")
    checkpoint.load_model(training.folder, training.model, state)
    training.group.once(lambda: checkpoint.write_metrics(training.folder, state))
    training.optimizer.load_state_dict(state.optimizer)
    training.epoch, training.step, training.metrics = state.epoch, state.step, state.metrics
    training.losses, training.best, training.stale = state.losses, state.best, state.stale


def save(training: Training) -> None:
    """A checkpoint of this step; never one of weights that are not finite."""
    if not all(value.isfinite().all() for value in training.model.parameters()):
        raise TrainingDiverged(
            f"weights: must stay finite, they are not after {training.step} steps (epoch {training.epoch}); "
            "use another --out with a smaller --lr, or --clip-norm"
        )
    training.saved_step = training.step
    state = checkpoint.State(
        model=training.model.state_dict(),
        optimizer=training.optimizer.state_dict(),
        epoch=training.epoch,
        step=training.step,
        metrics=training.metrics,
        losses=training.losses,
        best=training.best,
        stale=training.stale,
    )
    training.group.once(lambda: checkpoint.save(training.folder, state))
