"""A whole step as one compiled function: the loss, its gradient, and Adam's update of the weights.

Compiling the loss alone leaves autograd's bookkeeping and the optimiser's to Python, which for a small net takes as
long as the arithmetic.
"""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value

from reparam_train.objectives import Objective


def fits(objective: Objective, device: torch.device) -> bool:
    """Whether a step of this objective can be one function: on a CPU, and nothing but the weights moves with it."""
    return device.type == "cpu" and objective.state_dict().keys() == dict(objective.named_parameters()).keys()


class CompiledStep:
    """Adam on an objective, with the moments kept in torch's own optimiser, so that checkpoints are the same.

    Args:
        objective: whose weights are moved.
        optimizer: torch's Adam of these weights; its step size is not looked at, its other settings are.
        clip_norm: largest norm of the gradient, or None.
        amp: whether layers compute in bfloat16.

    Source:
        D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015 (arXiv:1412.6980), algorithm 1.
    """

    def __init__(
        self, objective: Objective, optimizer: torch.optim.Optimizer, *, clip_norm: float | None, amp: bool
    ) -> None:
        self._optimizer = optimizer
        self._parameters = {name: value for name, value in objective.named_parameters() if value.requires_grad}
        settings: dict[str, Any] = optimizer.param_groups[0]
        self._betas: tuple[float, float] = settings["betas"]
        first, second = self._betas
        names, adam_eps = list(self._parameters), float(settings["eps"])

        def loss_of(weights: tuple[Tensor, ...], x: Tensor, eps: Tensor, weight: Tensor) -> Tensor:
            loss: Tensor = functional_call(objective, dict(zip(names, weights, strict=True)), (x, eps, weight))
            return loss

        def step(
            weights: tuple[Tensor, ...],
            moments: tuple[tuple[Tensor, Tensor], ...],
            batch: tuple[Tensor, Tensor, Tensor],
            sizes: tuple[Tensor, Tensor],
        ) -> Tensor:
            loss: Tensor
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                gradients, loss = grad_and_value(loss_of)(weights, *batch)
            if clip_norm is not None:
                norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
                factor = (clip_norm / (norm + 1e-6)).clamp(max=1.0)
                gradients = tuple(gradient * factor for gradient in gradients)
            size, scale = sizes  # lr / (1 - beta1^t) and sqrt(1 - beta2^t)
            for value, (mean, square), gradient in zip(weights, moments, gradients, strict=True):
                mean.lerp_(gradient, 1 - first)
                square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
                value.sub_(size * mean / (square.sqrt() / scale + adam_eps))
            return loss

        self._step: Any = torch.compile(step, dynamic=False)  # pyright: ignore[reportUnknownMemberType]

    def __call__(self, x: Tensor, eps: Tensor, weight: Tensor, *, step: int, lr: float) -> Tensor:
        """Moves the weights once and returns the loss from before, a scalar.

        Args:
            x: [batch, *input].
            eps: [draws, batch, *latent].
            weight: a scalar, of the objective's `weight`.
            step: steps before this one.
            lr: the step size.
        """
        first, second = (1 - beta ** (step + 1) for beta in self._betas)
        sizes = torch.tensor(lr / first), torch.tensor(second**0.5)
        states = [self._state(value, step) for value in self._parameters.values()]
        weights = tuple(value.detach() for value in self._parameters.values())
        moments = tuple((state["exp_avg"], state["exp_avg_sq"]) for state in states)
        loss: Tensor = self._step(weights, moments, (x, eps, weight), sizes)
        for state in states:
            state["step"].fill_(step + 1)
        return loss

    def _state(self, value: torch.nn.Parameter, step: int) -> dict[str, Tensor]:
        """Of one weight, as torch's Adam keeps it."""
        state: dict[str, Tensor] = self._optimizer.state[value]
        if not state:
            state["step"] = torch.tensor(float(step))
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(value.detach()), torch.zeros_like(value.detach())
        return state
