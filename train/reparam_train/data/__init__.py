"""Training data: built-in, files, folders, functions and arrays; kept as stored, converted a batch at a time."""

from reparam_train.data.arrays import from_arrays
from reparam_train.data.dataset import from_dataset
from reparam_train.data.sources import load
from reparam_train.data.split import Data, Split

__all__ = ["Data", "Split", "from_arrays", "from_dataset", "load"]
