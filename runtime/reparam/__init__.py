"""Variational autoencoders through onnxruntime, without PyTorch. Randomness is data: noise is (seed, row)."""

from reparam import errors
from reparam.laws import noise

__all__ = ["errors", "noise"]
