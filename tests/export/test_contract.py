"""A published bundle is exactly what the contract says, byte by byte where it matters."""

import getpass
import json
import socket
from pathlib import Path

import onnx
import pytest

import reparam_export
from reparam.bundle.gate import RANDOM_OPERATORS
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

REPOSITORY = Path(__file__).resolve().parents[2]
Bundle = tuple[VAE, Path]

# what a decoder gives besides x_hat, by kind and whether it has a constant
SCORED = {"bernoulli": ["logits"], "gaussian of null": ["x_logvar"], "laplace of null": ["x_logscale"]}


def told(likelihood: dict[str, object]) -> str:
    return str(likelihood["kind"]) + (" of null" if None in likelihood.values() else "")


def signature(values: object) -> list[tuple[str, list[str | int]]]:
    return [(v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]) for v in values]  # type: ignore[attr-defined]


def test_the_graphs_take_and_give_what_the_contract_names_in_its_order(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    row, latent = manifest["input"]["shape"], manifest["latent"]["shape"]
    encoder, decoder = (onnx.load(bundle / f"{role}.onnx").graph for role in ("encoder", "decoder"))
    scored = [(name, ["batch", *row]) for name in SCORED.get(told(manifest["likelihood"]), [])]
    assert signature(encoder.input) == [("x", ["batch", *row]), ("eps", ["batch", *latent])]
    assert signature(encoder.output) == [(name, ["batch", *latent]) for name in ("mean", "logvar", "z")]
    assert signature(decoder.input) == [("z", ["batch", *latent])]
    assert signature(decoder.output) == [("x_hat", ["batch", *row]), *scored]


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_a_graph_is_opset_18_and_ir_version_9_with_its_weights_inside(bundle: Path, role: str) -> None:
    model = onnx.load(bundle / f"{role}.onnx", load_external_data=False)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert model.ir_version == 9
    assert not model.functions
    assert all(t.data_location == onnx.TensorProto.DEFAULT and not t.external_data for t in model.graph.initializer)
    assert sum(len(t.raw_data) for t in model.graph.initializer) > 0


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_no_graph_draws_random_numbers_or_reads_a_shape_at_run_time(bundle: Path, role: str) -> None:
    operators = {node.op_type for node in onnx.load(bundle / f"{role}.onnx").graph.node}
    assert operators
    assert not operators & (RANDOM_OPERATORS | {"Shape", "Size", "If", "Loop", "Scan"})


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_a_graph_says_its_format_role_and_bundle_and_nothing_of_its_source(bundle: Path, role: str) -> None:
    model = onnx.load(bundle / f"{role}.onnx")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert {p.key: p.value for p in model.metadata_props} == {
        "format": "reparam-bundle/1",
        "role": role,
        "id": manifest["id"],
    }
    graph = model.graph
    parts = [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    assert not any(part.doc_string for part in parts)
    assert not any(part.metadata_props for part in parts[1:])
    assert not model.producer_name
    assert graph.name == role


def test_no_file_of_a_bundle_names_this_machine(bundle: Path) -> None:
    names = {socket.gethostname(), getpass.getuser()}
    words = {str(REPOSITORY), str(Path.home()) + "/", "/tmp/", "site-packages", ".py"}
    words |= {name for name in names if len(name) > 4}  # shorter ones stand in innocent bytes
    for file in bundle.iterdir():
        data = file.read_bytes()
        assert not [word for word in words if word.encode() in data], file.name


def test_golden_vectors_hold_every_array_at_batch_one_and_three_within_a_mebibyte(exported: Bundle) -> None:
    import numpy as np

    _, folder = exported
    with np.load(folder / "golden.npz") as golden:
        names = set(golden.files)
    scored = SCORED.get(told(json.loads((folder / "manifest.json").read_text())["likelihood"]), [])
    arrays = {"x", "eps", "mean", "logvar", "z", "x_hat", *scored}
    assert names == {f"{name}_{batch}" for name in arrays for batch in (1, 3)}
    assert (folder / "golden.npz").stat().st_size <= 1 << 20


def test_the_same_weights_give_the_same_bundle_to_the_byte(model: VAE, tmp_path: Path) -> None:
    first = reparam_export.export(model, tmp_path / "a", name="same")
    second = reparam_export.export(model, tmp_path / "b", name="same")
    assert first.id == second.id
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_other_weights_give_another_id(model: VAE, tmp_path: Path) -> None:
    other = VAE.build(model.config, seed=8)
    ids = {reparam_export.export(m, tmp_path / name).id for name, m in (("a", model), ("b", other))}
    assert len(ids) == 2


def test_the_manifest_records_the_constants_of_the_likelihood(tmp_path: Path) -> None:
    config = VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(4,), likelihood="gaussian", std=0.25)
    manifest = reparam_export.export(VAE.build(config, seed=1), tmp_path / "gaussian")
    assert manifest.likelihood.std == 0.25  # type: ignore[union-attr]
    config = VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(4,), likelihood="laplace", std=0.25)
    manifest = reparam_export.export(VAE.build(config, seed=1), tmp_path / "laplace")
    assert manifest.likelihood.scale == pytest.approx(0.25 / 2**0.5)  # type: ignore[union-attr]
    assert "Laplace around `x_hat` with scale 0.176777" in (tmp_path / "laplace" / "README.md").read_text()


def test_an_image_model_gets_a_preview_that_its_card_shows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="previews need the extra report")
    config = VAEConfig(net="conv", input_shape=(1, 8, 8), latent=2, hidden=(4,))
    reparam_export.export(VAE.build(config, seed=1), tmp_path / "images")
    assert (tmp_path / "images" / "preview.png").read_bytes().startswith(b"\x89PNG")
    assert "preview.png" in (tmp_path / "images" / "README.md").read_text()
