"""Folders that optimum wrote become bundles without torch, with its numbers; what cannot become one is named."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import reparam
import reparam_export
from reparam.errors import CheckpointError, ExportError, OptionError, OutputError, VerificationError
from reparam_export.optimum import importing
from reparam_export.optimum.cli import import_optimum


@pytest.mark.parametrize("case", ["2", "1_24x40"])
def test_a_folder_of_optimums_own_exporter_gives_what_pytorch_gives(optimum_run: Path, case: str) -> None:
    with np.load(optimum_run / "torch.npz") as arrays:
        x, eps, *wanted = (arrays[f"{name}_{case}"] for name in ("x", "eps", "mean", "logvar", "z", "x_hat"))
    with reparam.load(optimum_run / "bundle", device="cpu") as vae:
        q, z = vae.encode(x), vae.sample(x, eps=eps)
        found = q.mean, q.logvar, z, vae.decode(z)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_the_manifest_says_what_the_config_says_and_where_the_numbers_come_from(optimum_run: Path) -> None:
    manifest = reparam.load(optimum_run / "bundle", device="cpu").manifest
    assert (manifest.input.shape, manifest.input.factors) == ((3, 32, 32), (4, 4))
    assert (manifest.input.low, manifest.input.high, manifest.input.layout) == (-1.0, 1.0, "channels_first")
    assert (manifest.latent.shape, manifest.latent.scaling_factor) == ((4, 8, 8), 0.25)
    assert (manifest.likelihood, manifest.training, manifest.golden.source) == (None, None, "onnx")
    assert manifest.versions["diffusers"].startswith("0.")
    assert all(graph.shape_nodes > 0 for graph in manifest.graphs)  # dynamic sides and group norm
    (done,) = reparam.verify(optimum_run / "bundle", device="cpu")
    assert (done.batches, done.sizes) == ((1, 3), ((4, 8), (8, 12)))


def test_the_graphs_are_those_of_the_contract_whatever_names_were_inside(peer: Any, tmp_path: Path) -> None:
    manifest = reparam_export.import_optimum(peer.write(), tmp_path / "bundle", name="theirs")
    assert (manifest.name, manifest.latent.shift_factor) == ("theirs", 0.25)
    image, latent = ["batch", 3, "height", "width"], ["batch", 2, "latent_height", "latent_width"]
    for role, inputs, outputs in (("encoder", ["x", "eps"], ["mean", "logvar", "z"]), ("decoder", ["z"], ["x_hat"])):
        model = onnx.load(tmp_path / "bundle" / f"{role}.onnx")
        for found, wanted in ((model.graph.input, inputs), (model.graph.output, outputs)):
            axes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in found}
            assert list(axes) == wanted
            assert all(row == (image if name in ("x", "x_hat") else latent) for name, row in axes.items())
        assert (model.ir_version, model.opset_import[0].version, model.producer_name) == (9, 17, "")
        assert {prop.key: prop.value for prop in model.metadata_props}["id"] == manifest.id


def test_logvar_is_clamped_as_diffusers_clamps_it(peer: Any, tmp_path: Path) -> None:
    reparam_export.import_optimum(peer.write(), tmp_path / "bundle")
    with reparam.load(tmp_path / "bundle", device="cpu") as vae:
        logvar = vae.encode(reparam.noise("normal", 1, range(4), (3, 16, 16), stream="data") * 100).logvar
    assert (logvar.min(), logvar.max()) == (-30, 20)


@pytest.mark.parametrize(("opset", "kept"), [(13, 13), (14, 14), (18, 18), (19, 18)])
def test_the_operator_set_stays_up_to_18_and_newer_ones_are_converted(
    peer: Any, tmp_path: Path, opset: int, kept: int
) -> None:
    if opset > 18 and tuple(map(int, onnx.__version__.split(".")[:2])) < (1, 19):
        pytest.skip(f"onnx {onnx.__version__} converts nothing from {opset}")
    folder = peer.write(encoder=peer.graph("encoder", opset), decoder=peer.graph("decoder", opset))
    manifest = reparam_export.import_optimum(folder, tmp_path / "bundle")
    assert [(graph.opset, graph.ir_version) for graph in manifest.graphs] == [(kept, 9)] * 2
    reparam.verify(tmp_path / "bundle", device="cpu")


def test_the_config_is_found_in_the_pipelines_places_too(peer: Any, tmp_path: Path) -> None:
    folder = peer.write(config=peer.config(sample_size=[15, 20]))
    (folder / "vae_encoder" / "config.json").rename(folder / "config.json")
    manifest = reparam_export.import_optimum(folder, tmp_path / "bundle")
    assert manifest.input.shape == (3, 16, 20)  # the next multiples of the factor
    (folder / "vae").mkdir()
    (folder / "vae" / "config.json").write_text(json.dumps(peer.config(sample_size=None)))
    assert reparam_export.import_optimum(folder, tmp_path / "bundle").latent.shape == (2, 8, 8)


def test_the_command_says_where_and_how_exact_and_needs_no_torch(peer: Any, tmp_path: Path) -> None:
    folder = peer.write()
    code = (
        "import sys\n"
        "from reparam_export.optimum.cli import import_optimum\n"
        "from reparam_export.cli import export\n"
        "import_optimum.main(sys.argv[1:3], standalone_mode=False)\n"
        "export.main([sys.argv[2], sys.argv[3], '--layout', 'triton'], standalone_mode=False)\n"
        "assert not {'torch', 'onnxscript', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    words = [sys.executable, "-c", code, folder, tmp_path / "bundle", tmp_path / "repository"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    bundle_line, layout_line = done.stdout.splitlines()
    assert "worst absolute error" in bundle_line
    assert bundle_line.endswith(f"against the graphs in {folder}")
    assert "triton, of bundle" in layout_line
    told = CliRunner().invoke(import_optimum, [str(folder), str(tmp_path / "bundle"), "--json"])
    assert json.loads(told.stdout)["worst_absolute_error"] < 1e-4


def drawn(model: onnx.ModelProto) -> onnx.ModelProto:
    """An encoder as diffusers' own script wrote it: the sample is drawn in the graph."""
    model.graph.node[1].op_type = "RandomNormalLike"
    model.graph.output[0].name = model.graph.node[1].output[0] = "latent_sample"
    return model


def deterministic(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.output[0].name = model.graph.node[1].output[0] = "latent_sample"
    return model


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    weight = model.graph.initializer[0]
    values = onnx.numpy_helper.to_array(weight).astype(np.float16)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def outside(model: onnx.ModelProto) -> onnx.ModelProto:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="model.onnx_data")
    return model


def fixed(model: onnx.ModelProto) -> onnx.ModelProto:
    for axis, size in ((0, 1), (2, 16), (3, 16)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    return model


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.input[0].name = model.graph.node[0].input[0] = "pixel_values"
    return model


def optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[1].op_type, model.graph.node[1].domain = "Gelu", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def wider(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    return model


def quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[1].op_type = "DynamicQuantizeLinear"
    return model


def branching(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[1].attribute.append(helper.make_attribute("then_branch", model.graph))
    return model


def older(model: onnx.ModelProto) -> onnx.ModelProto:
    model.opset_import[0].version = 11
    return model


def newer(model: onnx.ModelProto) -> onnx.ModelProto:
    shape = helper.make_node("Shape", ["sample"], ["sizes"])
    zeros = helper.make_node("ConstantOfShape", ["sizes"], ["zeros"])
    model.graph.node.extend([shape, zeros])
    model.opset_import[0].version, model.ir_version = 21, 10
    return model


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drawn, r"samples inside the graph \(RandomNormalLike\).*; export it again with an optimum"),
        (
            deterministic,
            "gives latent_sample and draws nothing: a deterministic autoencoder .*; export the PyTorch model",
        ),
        (half, "computes in 16 bits; export it again.*--dtype fp32"),
        (outside, r"its weights lie in another file \(external data\); put them inside: onnx.save"),
        (fixed, r"sample has fixed sizes, \[1, 3, 16, 16\]; export it again without --no-dynamic-axes"),
        (renamed, "its one input must be sample, got pixel_values; export it again"),
        (optimised, "holds com.microsoft.Gelu, which standard ONNX has not; import it before it is optimised"),
        (wider, r"sample must be float \[batch, 3, height, width\] as config.json says, got float .*4"),
        (quantised, "is quantised; import the fp32 graphs"),
        (branching, "holds subgraphs"),
        (older, "opset must be at least 13, got 11; export it again"),
        (newer, "opset must be at most 18, got 21, and onnx cannot convert the graph; export it again with --opset 18"),
    ],
)
def test_an_encoder_that_no_bundle_can_hold_is_refused_in_one_line_and_the_old_bundle_stays(
    peer: Any, tmp_path: Path, change: Callable[[onnx.ModelProto], onnx.ModelProto], told: str
) -> None:
    old = reparam_export.import_optimum(peer.write(), tmp_path / "bundle")
    folder = peer.write(encoder=change(peer.graph("encoder")))
    with pytest.raises(ExportError, match=f"vae_encoder/model.onnx: {told}") as caught:
        reparam_export.import_optimum(folder, tmp_path / "bundle")
    assert "\n" not in str(caught.value)
    assert reparam.load(tmp_path / "bundle", device="cpu").manifest.id == old.id
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "peer"]


def test_files_that_are_missing_or_no_graphs_or_no_config_are_named(peer: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such folder; give the one that holds vae_encoder"):
        reparam_export.import_optimum(tmp_path / "nowhere", tmp_path / "bundle")
    with pytest.raises(CheckpointError, match=r"vae_decoder/model.onnx: not an ONNX graph; export it again"):
        reparam_export.import_optimum(peer.write(decoder=b"\xff\xff"), tmp_path / "bundle")
    folder = peer.write()
    (folder / "vae_decoder" / "model.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"vae_decoder/model.onnx: missing; give a folder that holds"):
        reparam_export.import_optimum(folder, tmp_path / "bundle")
    for config in ({"block_out_channels": []}, {"block_out_channels": "8"}, {"latent_channels": 0}, {"sample_size": 0}):
        folder = peer.write(config=peer.config(**config))
        with pytest.raises(CheckpointError, match=r"vae_encoder/config.json: .*; take it from the model"):
            reparam_export.import_optimum(folder, tmp_path / "bundle")
    (folder / "vae_encoder" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"peer: holds no vae_encoder/config.json; put the VAE's config.json"):
        reparam_export.import_optimum(folder, tmp_path / "bundle")


def test_a_config_that_names_other_levels_than_the_graphs_have_publishes_nothing(peer: Any, tmp_path: Path) -> None:
    folder = peer.write(config=peer.config(block_out_channels=[8, 8, 8]))
    with pytest.raises(ExportError, match=r"its graphs have .* but block_out_channels in config.json has 3 levels"):
        reparam_export.import_optimum(folder, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_graphs_that_differ_from_the_ones_that_came_publish_nothing(
    peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten = importing.decoder_of

    def wrong(model: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
        new = rewritten(model, **options)
        weight = new.graph.initializer[0]
        values = onnx.numpy_helper.to_array(weight) * np.float32(1.1)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return new

    monkeypatch.setattr(importing, "decoder_of", wrong)
    with pytest.raises(VerificationError, match="x_hat: differs from the source model by up to"):
        reparam_export.import_optimum(peer.write(), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_bad_name_and_a_folder_that_is_no_bundle_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="name: must be letters"):
        reparam_export.import_optimum(tmp_path / "nowhere", tmp_path / "bundle", name="a b")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years")
    with pytest.raises(OutputError, match="is a folder but no bundle"):
        reparam_export.import_optimum(tmp_path / "nowhere", tmp_path / "thesis")


def test_the_same_folder_gives_the_same_bundle_to_the_byte(peer: Any, tmp_path: Path) -> None:
    folder = peer.write()
    for name in ("one", "two"):
        reparam_export.import_optimum(folder, tmp_path / name, name="same")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
