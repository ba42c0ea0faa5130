"""The constants of a graph are read from its bytes by name, as any library would build the model from."""

from pathlib import Path

import numpy as np

import reparam
from reparam.bundle.reader import read_bundle
from reparam.bundle.weights import weights_of
from reparam.testing import tiny_bundle


def test_a_layer_by_hand_with_the_weights_of_a_graph_is_the_graph_s_own(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "tiny", input_shape=(5,))
    weights = weights_of(read_bundle(folder).graph("encoder", "fp32"))
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    x = reparam.noise("normal", 0, range(4), (5,))
    with reparam.load(folder, device="cpu") as vae:
        assert np.allclose(vae.encode(x).mean, x @ weights["W"] + weights["b"], atol=1e-6)
