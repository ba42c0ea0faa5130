"""int8: static quantisation, weights per output channel, values at the ranges that calibration rows have.

uint8 values and int8 weights, the pair that x86 multiplies with VNNI; scale and zero point of each value from its
smallest and largest over the calibration rows (on MNIST percentiles and entropy lose the same 0.24 nats). What leaves
a matrix product stays float32, so moments, logits and the reparameterisation do.
"""

import logging
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from reparam_export.passes.aligned import align_channels
from reparam_export.passes.float_ends import float_ends
from reparam_export.passes.pads import joined_pads
from reparam_export.passes.shuffle import block_first, channels_last, early_relu
from reparam_export.passes.transposed import plain_convolutions
from reparam_export.precision.placement import integer_nodes
from reparam_export.precision.ranges import Feeds
from reparam_export.precision.tools import tool


def integer_form(model: onnx.ModelProto) -> None:
    """Rewrites a float32 graph in place, so that integer kernels can run it: the same function."""
    joined_pads(model)
    plain_convolutions(model)
    early_relu(model)
    block_first(model)
    channels_last(model)
    for number, node in enumerate(model.graph.node):
        node.name = f"{number}_{node.op_type}"


def quantize(model: onnx.ModelProto, feeds: Iterable[Feeds]) -> onnx.ModelProto:
    """An int8 graph of the model's function; the model is left as it was.

    Args:
        model: a float32 graph of the contract.
        feeds: inputs by name, a batch of calibration rows each.

    Returns:
        The graph with QuantizeLinear and DequantizeLinear, which onnxruntime fuses when it loads it; inputs and outputs
        are float32 as before.
    """
    quantization = tool("quantization")
    plain = onnx.ModelProto.FromString(model.SerializeToString())
    integer_form(plain)
    chosen = integer_nodes(plain)
    types = {node.op_type for node in plain.graph.node if node.name in set(chosen)}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder, "plain.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(plain.SerializeToString())
        quantization.quantize_static(
            source,
            target,
            _reader(feeds),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=sorted(types),
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        found: onnx.ModelProto = onnx.ModelProto.FromString(target.read_bytes())
    float_ends(found, set(chosen))
    align_channels(found)
    return found


def _reader(feeds: Iterable[Feeds]) -> Any:
    """The feeds as onnxruntime asks for them: one at a time, None after the last."""
    rest = iter(feeds)
    base: Any = tool("quantization").CalibrationDataReader

    def get_next(_: object) -> Feeds | None:
        return next(rest, None)

    return type("Reader", (base,), {"get_next": get_next})()


@contextmanager
def _quiet() -> Generator[None]:
    """Keeps the quantiser's advice, which it gives through the root logger, off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
