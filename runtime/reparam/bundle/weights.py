"""The float32 constants of a graph by name, read from its bytes: what another library builds the same model from."""

import math

import numpy as np
import numpy.typing as npt

from reparam.bundle.outline import FLOAT32, Admitted


def weights_of(graph: Admitted) -> dict[str, npt.NDArray[np.float32]]:
    """Every float32 initializer whose values lie as raw bytes, as all that export writes do, [*shape] each."""
    return {
        name: np.frombuffer(graph.data, "<f4", math.prod(tensor.shape), tensor.first)
        .reshape(tensor.shape)
        .astype(np.float32)
        for name, tensor in graph.outline.tensors.items()
        if tensor.dtype == FLOAT32 and tensor.first >= 0
    }
