"""Training data: built-in digits, idx folders, .npy files; split once, kept as stored, converted a batch at a time."""

from reparam_train.data.sources import load
from reparam_train.data.split import Data, Split

__all__ = ["Data", "Split", "load"]
