"""What the tests of a program that embeds reparam need: a small bundle, made without PyTorch and onnx."""

from reparam.testing.tiny import tiny_bundle

__all__ = ["tiny_bundle"]
