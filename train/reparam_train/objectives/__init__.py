"""What a step of training makes smaller, in nats per row; what is reported is always the plain ELBO of bound.py."""

from reparam_train.objectives.choose import build, describe
from reparam_train.objectives.objective import Objective

__all__ = ["Objective", "build", "describe"]
