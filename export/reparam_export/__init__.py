"""Turns trained VAEs into two ONNX graphs whose noise is an input, proves them, and publishes the bundle."""

from reparam_export.pipeline import export

__all__ = ["export"]
