"""Who looks at a run after each validation: an interface, so that the loop knows neither pictures nor TensorBoard."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reparam_train.data.split import Data
from reparam_train.model import VAE


@dataclass(frozen=True)
class Validation:
    """A validation whose checkpoint is written."""

    folder: Path
    """Of the run."""
    model: VAE
    """In training mode, on its device; an observer changes neither the mode nor a weight."""
    data: Data
    """As training reads it: limited and binarised."""
    seed: int
    epoch: int
    """Epochs that are done."""
    step: int
    """Steps that are done."""
    metrics: dict[str, float]
    """The line of metrics.jsonl: test_elbo and its kin, epoch, step."""


class Observer(Protocol):
    """Called with each validation, in order; draws no random number but keyed ones, so the run stays the same run.

    A resumed run goes on with the validations after its checkpoint: where a checkpoint was lost, some come again.
    """

    def __call__(self, now: Validation, /) -> None:
        """Looks, and may write into the run's folder; what it raises ends the run, with the checkpoint kept."""
