"""The constants of a graph are read from its bytes by name, as any library would build the model from."""

import struct
from pathlib import Path

import numpy as np
import pytest

import reparam
from reparam.bundle.weights import weights_of
from reparam.testing import messages, tiny_bundle


def test_a_layer_by_hand_with_the_weights_of_a_graph_is_the_graph_s_own(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "tiny", input_shape=(5,))
    weights = weights_of((folder / "encoder.onnx").read_bytes())
    x = reparam.noise("normal", 0, range(4), (5,))
    with reparam.load(folder, device="cpu") as vae:
        assert np.allclose(vae.encode(x).mean, x @ weights["W"] + weights["b"], atol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_shapes_and_values_are_read_however_they_lie(packed: bool) -> None:
    values = struct.pack("<6f", *range(6))
    if packed:
        dims = messages.field(1, bytes([2, 3]))
        tensor = dims + messages.field(2, 1) + messages.field(8, b"w") + messages.field(4, values)
    else:
        dims = messages.field(1, 2) + messages.field(1, 3)
        tensor = dims + messages.field(2, 1) + messages.field(8, b"w") + messages.field(9, values)
    whole = messages.field(7, messages.field(5, tensor))
    assert np.array_equal(weights_of(whole)["w"], np.arange(6, dtype=np.float32).reshape(2, 3))


def test_integers_are_left_out_and_missing_values_refused() -> None:
    integers = messages.field(7, messages.field(5, messages.field(2, 7) + messages.field(8, b"n")))
    assert weights_of(integers) == {}
    short = messages.field(1, 2) + messages.field(2, 1) + messages.field(8, b"w") + messages.field(9, b"\0" * 4)
    with pytest.raises(ValueError, match="w: must have 2 values, found 4 bytes"):
        weights_of(messages.field(7, messages.field(5, short)))
