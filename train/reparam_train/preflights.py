"""What others want to know of a model before its first step: whether it can be exported, for example.

Packages join through the entry-point group `reparam.preflight`, each with a function that takes the untrained model and
raises a `ReparamError` where training it would be in vain.
"""

import copy
from importlib.metadata import entry_points
from typing import Final

from reparam_train.model import VAE

GROUP: Final = "reparam.preflight"


def preflights(model: VAE) -> None:
    """Calls each of them with a copy of the model on the CPU; what one raises comes through."""
    for entry in entry_points(group=GROUP):
        entry.load()(copy.deepcopy(model).cpu())
