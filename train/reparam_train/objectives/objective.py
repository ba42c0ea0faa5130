"""The interface of an objective: a loss for a batch, its noise and the weight of this step."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from reparam_train.model import VAE


class Objective(nn.Module, ABC):
    """A loss as a function of (x, eps, weight), around the model that it trains; nothing random inside.

    Args:
        model: kept as `model`.
    """

    draws: int = 1
    """How many draws of eps each row needs; 0 where the model has no posterior."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def weight(self, step: int) -> float:  # noqa: ARG002  an objective may move with the step
        """What `forward` takes as weight in this step, counted from 0 over the whole run; 1 for most objectives."""
        return 1.0

    @abstractmethod
    def forward(self, x: Tensor, eps: Tensor, weight: Tensor) -> Tensor:
        """The loss, a scalar in nats per row.

        Args:
            x: [batch, *input].
            eps: [draws, batch, *latent].
            weight: a scalar, of `weight`.
        """
