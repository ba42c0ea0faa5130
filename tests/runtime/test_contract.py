"""Graphs must take and give what the manifest says, and other laws and models without a posterior run too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import BundleError, InputError, OptionError, ReparamError, RunError
from reparam.laws import LAWS, Law

Maker = Callable[..., Path]


def decoder(onnx: Any, inputs: list[bytes], outputs: list[bytes]) -> bytes:
    nodes = [onnx.node("Identity", "z", "x_hat"), onnx.node("Identity", "z", "logits")]
    return onnx.model(onnx.graph(nodes, inputs, outputs))


def test_a_graph_with_other_inputs_or_outputs_is_refused(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    def z(*shape: int | str) -> bytes:
        return onnx.value("z", *shape)

    def x_hat(*shape: int | str) -> bytes:
        return onnx.value("x_hat", *shape)

    more = onnx.value("logits", "batch", 2)
    good = z("batch", 2), x_hat("batch", 2)
    cases = {
        r"inputs must be z float32 \[batch, 2\] .* \[batch, 3\]": ([z("batch", 3)], [x_hat("batch", 3)]),
        r"inputs must be .* with a dynamic batch, found .* \[1, 2\]": ([z(1, 2)], [x_hat(1, 2)]),
        r"inputs must be .*, found z tensor\(float\) \[batch, wide\]": ([z("batch", "wide")], [good[1]]),
        r"inputs must be .*, found z tensor\(float\) \[\]": ([z()], [x_hat()]),
        r"refused: its inputs must be z, found z, y;": ([good[0], onnx.value("y", "batch", 2)], [good[1]]),
        r"refused: its outputs must be x_hat, found x_hat, logits;": ([good[0]], [good[1], more]),
        r"refused: its outputs must be x_hat, found logits;": ([good[0]], [more]),
    }
    for message, (inputs, outputs) in cases.items():
        folder = tiny(tmp_path / "b", decoder=decoder(onnx, inputs, outputs))
        with pytest.raises(BundleError, match=rf"decoder\.onnx: {message}"):
            reparam.load(folder, device="cpu")


def test_a_likelihood_names_the_outputs_it_is_scored_with(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"its outputs must be x_hat, logits, found x_hat;"):
        reparam.load(tiny(tmp_path / "b", likelihood={"kind": "bernoulli"}), device="cpu")
    value = onnx.value
    both = decoder(onnx, [value("z", "batch", 2)], [value("x_hat", "batch", 2), value("logits", "batch", 2)])
    with reparam.load(tiny(tmp_path / "b", decoder=both, likelihood={"kind": "bernoulli"}), device="cpu") as vae:
        assert vae.info().likelihood == "bernoulli"


def test_graphs_that_stand_for_each_other_are_refused(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    folder = tiny(tmp_path / "b", encoder=onnx.decoder(), decoder=onnx.encoder())
    with pytest.raises(BundleError, match=r"encoder\.onnx: refused: its inputs must be x, eps, found z;"):
        reparam.load(folder, device="cpu")


def test_a_graph_that_onnxruntime_cannot_read_is_refused_with_why(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    folder = tiny(tmp_path / "b", decoder=onnx.decoder(onnx.node("NoSuchOperator", "z", "x_hat")))
    with pytest.raises(BundleError, match=r"decoder\.onnx: onnxruntime cannot load it: .*NoSuchOperator") as caught:
        reparam.load(folder, device="cpu", trust="exporter")
    assert str(caught.value).isprintable()


def test_names_from_a_graph_are_shown_in_one_printable_line(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    wild = "z\n\x1b[31m"
    renamed = onnx.graph(
        [onnx.message((1, wild), (2, "x_hat"), (4, "Identity"))],
        [onnx.value(wild, "batch", 2)],
        [onnx.value("x_hat", "batch", 2)],
    )
    unknown = onnx.node(wild, "z", "x_hat", (7, "mine"))
    for message, graph in (("a name is not printable", onnx.model(renamed)), ("refused", onnx.decoder(unknown))):
        with pytest.raises(BundleError, match=message) as caught:
            reparam.load(tiny(tmp_path / "b", decoder=graph), device="cpu")
        assert str(caught.value).isprintable()


def test_names_that_are_no_text_are_refused(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    x_hat = onnx.value("x_hat", "batch", 2)
    for z in (onnx.value("z", b"bat\xd7h", 2), onnx.value(b"z\xd7", "batch", 2)):
        with pytest.raises(BundleError, match=r"decoder\.onnx: "):
            reparam.load(tiny(tmp_path / "b", decoder=decoder(onnx, [z], [x_hat])), device="cpu")


def test_a_graph_that_gives_other_rows_than_it_took_is_an_error_and_never_a_result(
    tiny: Maker, onnx: Any, tmp_path: Path
) -> None:
    axis = onnx.message((1, "axis"), (3, 0), (20, 2))
    doubling = onnx.decoder(onnx.node("Concat", "z z", "x_hat", (5, axis)))
    constants = onnx.integers("zero", 0), onnx.integers("one", 1)
    first_only = onnx.decoder(  # the end of the slice is computed, so that no shape inference sees it
        onnx.node("Shape", "z", "shape"),
        onnx.node("Slice", "shape zero one", "rows"),
        onnx.node("Sub", "rows one", "others"),
        onnx.node("Sub", "rows others", "end"),
        onnx.node("Slice", "z zero end zero", "x_hat"),
        initializers=constants,
    )
    for graph in (doubling, first_only):
        vae = reparam.load(tiny(tmp_path / "b", decoder=graph), device="cpu")
        with pytest.raises(ReparamError, match=r"decoder\.onnx: "):
            vae.decode(np.arange(6, dtype=np.float32).reshape(3, 2))


def test_a_graph_that_fails_while_it_runs_is_a_run_error(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    to, axis = onnx.message((1, "to"), (3, 7), (20, 2)), onnx.message((1, "axis"), (3, 1), (20, 2))
    graph = onnx.decoder(  # takes as many places as there are, and z says which
        onnx.node("Cast", "z", "places", (5, to)),
        onnx.node("GatherElements", "z places", "x_hat", (5, axis)),
    )
    with reparam.load(tiny(tmp_path / "b", decoder=graph), device="cpu") as vae:
        assert vae.decode(np.zeros((5, 2), np.float32)).shape == (5, 2)
        with pytest.raises(RunError, match=r"decoder\.onnx: onnxruntime failed: ") as caught:
            vae.decode(np.full((3, 2), 9, np.float32))
    assert isinstance(caught.value, RuntimeError)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("law", LAWS)
def test_the_bundles_law_is_the_law_of_its_samples(tiny: Maker, tmp_path: Path, law: Law) -> None:
    with reparam.load(tiny(tmp_path / "b", latent={"shape": [2], "noise": law}), device="cpu") as vae:
        x = np.zeros((9, 2), np.float32)  # here z = eps
        np.testing.assert_array_equal(vae.sample(x, seed=7), reparam.noise(law, 7, range(9), (2,)))
        prior = reparam.noise("normal", 7, range(9), (2,), stream="prior")
        np.testing.assert_array_equal(vae.generate(9, seed=7), prior)
        assert vae.encode(x).law == law
        assert vae.info().noise == law


@pytest.fixture
def plain(tiny: Maker, onnx: Any, tmp_path: Path) -> reparam.VAE:
    """An autoencoder without a posterior: z = x."""
    x, z = (onnx.value(name, "batch", 2) for name in "xz")
    encoder = onnx.model(onnx.graph([onnx.node("Identity", "x", "z")], [x], [z]))
    latent = {"shape": [2], "noise": None}
    return reparam.load(tiny(tmp_path / "b", encoder=encoder, deterministic=True, latent=latent), device="cpu")


def test_a_deterministic_autoencoder_takes_no_noise(plain: reparam.VAE) -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(plain.sample(x), x)
    np.testing.assert_array_equal(plain.reconstruct(x), x)
    np.testing.assert_array_equal(plain.interpolate(x, -x, steps=3)[:, 1], np.zeros_like(x))
    assert plain.info().noise is None
    for noise in ({"seed": 7}, {"eps": x}):
        for call in (plain.sample, plain.reconstruct):
            with pytest.raises(OptionError, match=r"^eps, seed: a deterministic autoencoder takes no noise"):
                call(x, **noise)


def test_a_deterministic_autoencoder_has_no_posterior(plain: reparam.VAE) -> None:
    x = np.zeros((3, 2), np.float32)
    for call in (lambda: plain.encode(x), lambda: plain.stream(x, op="encode")):
        with pytest.raises(OptionError, match=r"has no posterior; call sample\(x\) for its z"):
            call()


def test_rows_of_one_value_and_rows_that_look_like_many_are_told_apart(tiny: Maker, tmp_path: Path) -> None:
    with reparam.load(tiny(tmp_path / "b"), device="cpu") as vae:
        assert vae.decode(np.zeros((2, 2), np.float32)).shape == (2, 2)
        with pytest.raises(InputError, match=r"got one row \[2\]; add the batch axis with z\[None\]"):
            vae.decode(np.zeros(2, np.float32))
