"""A bundle in the layouts of other programs: their own readers take it, and nothing that we did not write is lost."""

import getpass
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner

import reparam
import reparam_export
from reparam.errors import OptionError, OutputError, ReparamError, VerificationError
from reparam_export.cli import export
from reparam_export.layouts import optimum as optimum_layout
from reparam_export.layouts.record import LAYOUTS
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
SPATIAL = {"net": "resnet", "input_shape": (1, 8, 8), "latent": 2, "hidden": (4, 8), "blocks": 1}
PLAIN = VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(4,), posterior="none")
TYPES = {onnx.TensorProto.FLOAT: "TYPE_FP32", onnx.TensorProto.UINT8: "TYPE_UINT8"}


@pytest.fixture(scope="module")
def spatial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a spatial latent, open sides, and x in [0, 1]."""
    folder = tmp_path_factory.mktemp("layouts") / "spatial"
    reparam_export.export(VAE.build(VAEConfig(**SPATIAL), seed=3), folder)
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with uint8 images."""
    folder = tmp_path_factory.mktemp("layouts") / "raw"
    reparam_export.export(VAE.build(VAEConfig(**SPATIAL), seed=3), folder, raw=True)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain autoencoder: no eps."""
    folder = tmp_path_factory.mktemp("layouts") / "plain"
    reparam_export.export(VAE.build(PLAIN, seed=3), folder)
    return folder


@pytest.fixture(params=["digits", "spatial", pytest.param("raw", marks=pytest.mark.slow), "plain"])
def bundle(request: pytest.FixtureRequest) -> Path:
    """Each of them, and the one that ships."""
    found: Path = DIGITS if request.param == "digits" else request.getfixturevalue(request.param)
    return found


def configuration(repository: Path, model: str) -> Any:
    """config.pbtxt read with Triton's own schema."""
    pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="needs the extra peers")
    from google.protobuf import text_format

    return text_format.Parse((repository / model / "config.pbtxt").read_text(), pb2.ModelConfig())


def kind(tensor: Any) -> str:
    field = tensor.DESCRIPTOR.fields_by_name["data_type"]
    name: str = field.enum_type.values_by_number[tensor.data_type].name
    return name


def rows(vae: reparam.VAE, n: int) -> dict[str, np.ndarray]:
    """x and, where the model takes it, eps, for n rows."""
    manifest = vae.manifest
    x = reparam.noise("uniform", 2, range(n), manifest.input.shape, stream="data") / 4 + 0.5
    x = (x * 255).astype(np.uint8) if manifest.input.dtype == "uint8" else x.astype(np.float32)
    return (
        {"x": x}
        if manifest.deterministic
        else {"x": x, "eps": reparam.noise("normal", 2, range(n), manifest.latent.shape)}
    )


def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


# -- triton ------------------------------------------------------------------------------------------------------------


def test_a_repository_of_triton_says_of_each_graph_what_the_graph_takes_and_gives(bundle: Path, tmp_path: Path) -> None:
    reparam_export.lay_out(bundle, tmp_path / "repository", layout="triton")
    for role in ("encoder", "decoder"):
        config = configuration(tmp_path / "repository", role)
        assert (config.name, config.backend, config.max_batch_size) == (role, "onnxruntime", 256)
        assert config.HasField("dynamic_batching")
        file = tmp_path / "repository" / role / "1" / "model.onnx"
        assert file.read_bytes() == (bundle / f"{role}.onnx").read_bytes()
        graph = onnx.load(file).graph
        for stated, values in ((config.input, graph.input), (config.output, graph.output)):
            assert [tensor.name for tensor in stated] == [value.name for value in values]
            for tensor, value in zip(stated, values, strict=True):
                dims = value.type.tensor_type.shape.dim
                assert dims[0].dim_param == "batch"
                assert list(tensor.dims) == [dim.dim_value or -1 for dim in dims[1:]]
                assert kind(tensor) == TYPES[value.type.tensor_type.elem_type]


def test_the_ensemble_of_triton_reconstructs_as_the_runtime_does(bundle: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    reparam_export.lay_out(bundle, repository, layout="triton")
    config = configuration(repository, "reconstruct")
    assert (config.name, config.platform, config.max_batch_size) == ("reconstruct", "ensemble", 256)
    assert list((repository / "reconstruct" / "1").iterdir()) == []  # Triton wants the version, and nothing in it
    with reparam.load(bundle, device="cpu") as vae:
        tensors = rows(vae, 3)
        wanted = vae.reconstruct(**tensors)
    assert [tensor.name for tensor in config.input] == list(tensors)
    outer = configuration(repository, "encoder").input, configuration(repository, "decoder").output[:1]
    assert (list(config.input), list(config.output)) == tuple(map(list, outer))
    for step in config.ensemble_scheduling.step:  # as Triton runs it
        running = session(repository / step.model_name / "1" / "model.onnx")
        feeds = {inner: tensors[outside] for inner, outside in step.input_map.items()}
        made = running.run(list(step.output_map), feeds)
        tensors |= dict(zip(step.output_map.values(), made, strict=True))
    assert np.array_equal(tensors[config.output[0].name], wanted)


def test_sides_that_are_open_are_so_for_triton(spatial: Path, tmp_path: Path) -> None:
    reparam_export.lay_out(spatial, tmp_path / "repository", layout="triton")
    assert [list(t.dims) for t in configuration(tmp_path / "repository", "reconstruct").input] == [
        [1, -1, -1],
        [2, -1, -1],
    ]


# -- optimum -----------------------------------------------------------------------------------------------------------


def test_ort_pipelines_give_with_our_folder_what_they_give_with_their_own(optimum_run: Path) -> None:
    with np.load(optimum_run / "pipelines.npz") as found:
        for name in ("mean", "logvar", "x_hat", "image", "scale", "scaling"):
            np.testing.assert_allclose(found[f"ours_{name}"], found[f"theirs_{name}"], rtol=0, atol=1e-5, err_msg=name)
        assert found["ours_image"].shape == (1, 32, 32, 3)
        assert (found["ours_scale"], found["ours_scaling"]) == (4, 0.25)


def test_pipelines_images_are_brought_to_the_range_of_the_model_and_back(spatial: Path, tmp_path: Path) -> None:
    reparam_export.lay_out(spatial, tmp_path / "folder", layout="optimum")
    x = reparam.noise("uniform", 1, range(3), (1, 16, 8), stream="data") / 4 + 0.5  # in [0, 1]
    with reparam.load(spatial, device="cpu") as vae:
        q, x_hat = vae.encode(x), vae.reconstruct(x)
    encoder, decoder = (session(tmp_path / "folder" / f"vae_{role}" / "model.onnx") for role in ("encoder", "decoder"))
    (parameters,) = encoder.run(["latent_parameters"], {"sample": 2 * x - 1})
    mean, logvar = np.split(parameters, 2, axis=1)
    (sample,) = decoder.run(["sample"], {"latent_sample": mean})
    for one, other in ((mean, q.mean), (logvar, q.logvar), (sample, 2 * x_hat - 1)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    config = json.loads((tmp_path / "folder" / "vae_encoder" / "config.json").read_text())
    assert (config["latent_channels"], len(config["block_out_channels"]), config["scaling_factor"]) == (2, 2, 1.0)


def test_the_graphs_of_the_folder_hold_no_noise_and_no_likelihood_and_say_whose_they_are(
    spatial: Path, tmp_path: Path
) -> None:
    manifest = reparam_export.lay_out(spatial, tmp_path / "folder", layout="optimum")
    for role, ends in (("encoder", (["sample"], ["latent_parameters"])), ("decoder", (["latent_sample"], ["sample"]))):
        model = onnx.load(tmp_path / "folder" / f"vae_{role}" / "model.onnx")
        assert ([v.name for v in model.graph.input], [v.name for v in model.graph.output]) == ends
        used = {name for node in model.graph.node for name in node.input} | set(ends[1])
        assert {name for node in model.graph.node for name in node.output} <= used  # nothing is computed for nobody
        assert {prop.key: prop.value for prop in model.metadata_props}["id"] == manifest.id
        assert (model.ir_version, model.opset_import[0].version) == (9, 18)


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ("digits", r"pipelines work on float images .*, this bundle has \[1, 8, 8\] and \[8\]"),
        pytest.param("raw", "pipelines work on float images", marks=pytest.mark.slow),
        ("plain", "pipelines work on float images"),
    ],
)
def test_a_model_that_no_pipeline_works_on_is_refused_with_the_reason(
    request: pytest.FixtureRequest, tmp_path: Path, which: str, told: str
) -> None:
    place = DIGITS if which == "digits" else request.getfixturevalue(which)
    with pytest.raises(OptionError, match=f"layout: optimum's {told}"):
        reparam_export.lay_out(place, tmp_path / "folder", layout="optimum")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"posterior": "laplace"}, "draw normal noise, this bundle's is laplace"),
        ({"posterior": "none"}, "draw normal noise, this bundle's is none: a plain autoencoder"),
        ({"likelihood": "gaussian"}, "range is not recorded"),
    ],
)
def test_noise_and_ranges_that_pipelines_do_not_have_are_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(OptionError, match=f"layout: optimum's pipelines .*{told}"):
        reparam_export.export(VAE.build(VAEConfig(**SPATIAL, **changes), seed=3), tmp_path / "out", layout="optimum")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_graphs_give_other_numbers_is_not_written(
    spatial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimum_layout, "_middle_and_half", lambda _: (0.5, 0.4))
    with pytest.raises(VerificationError, match="differs from the source model"):
        reparam_export.lay_out(spatial, tmp_path / "folder", layout="optimum")
    assert list(tmp_path.iterdir()) == []


# -- both --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["triton", "optimum"])
def test_a_layout_is_replaced_in_one_step_by_the_next_and_leaves_nothing_beside_it(
    spatial: Path, tmp_path: Path, layout: Any
) -> None:
    written = []
    for _ in range(2):
        reparam_export.lay_out(spatial, tmp_path / "out", layout=layout)
        written.append({path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_we_did_not_write_is_never_replaced(spatial: Path, tmp_path: Path) -> None:
    def refused(told: str) -> None:
        before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        with pytest.raises(OutputError, match=told):
            reparam_export.lay_out(spatial, place, layout="triton")
        assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before

    place = tmp_path / "repository"
    reparam_export.lay_out(DIGITS, place, layout="triton")
    tuned = place / "encoder" / "config.pbtxt"
    text = tuned.read_text()
    tuned.write_text(text + "instance_group { count: 2 }\n")
    refused("encoder/config.pbtxt was changed since it was written; move it away first")
    tuned.write_text(text)
    (place / "other").mkdir()
    (place / "other" / "config.pbtxt").write_text("")
    refused("holds other/config.pbtxt, which was not written with it; move it away first")
    place = tmp_path / "thesis"
    place.mkdir()
    (place / "thesis.tex").write_text("years")
    refused(r"holds no layout.json of ours and would be lost; choose another place")
    place = tmp_path / "bundle"
    shutil.copytree(DIGITS, place)
    refused(r"holds no layout.json of ours and would be lost")


def test_no_file_of_a_layout_or_of_an_imported_bundle_names_this_machine(
    peer: Any, spatial: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    reparam_export.import_optimum(peer.write(), out / "bundle")
    for layout in LAYOUTS:
        for source in (spatial, out / "bundle"):
            reparam_export.lay_out(source, out / f"{source.name}-{layout}", layout=layout)
    names = {name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 4}
    words = {str(Path.home()) + "/", str(tmp_path), "/tmp/", "site-packages", ".py", *names}
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 20
    for file in files:
        data = file.read_bytes()
        assert not [word for word in words if word.encode() in data], file


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_precision_that_the_bundle_has_not_is_refused_before_anything_is_written(
    spatial: Path, tmp_path: Path, layout: Any
) -> None:
    with pytest.raises(OptionError, match=r"precision: .* has fp32, got 'int8'"):
        reparam_export.lay_out(spatial, tmp_path / "out", layout=layout, precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_never_replaces_a_layout(peer: Any, tmp_path: Path) -> None:
    reparam_export.lay_out(DIGITS, tmp_path / "out", layout="triton")
    with pytest.raises(OutputError, match="is a folder but no bundle"):
        reparam_export.import_optimum(peer.write(), tmp_path / "out")


def test_the_command_writes_layouts_of_bundles_and_of_models(spatial: Path, tmp_path: Path) -> None:
    def run(*words: str | Path) -> Any:
        return CliRunner().invoke(export, [str(word) for word in words])

    done = run(spatial, tmp_path / "folder", "--layout", "optimum", "--json")
    told = json.loads(done.stdout)
    assert (told["layout"], told["id"]) == ("optimum", reparam.load(spatial, device="cpu").manifest.id)
    for words, why in (
        ((), "is a bundle already; --layout triton or optimum writes it for another program"),
        (("--layout", "triton", "--raw"), "is a bundle, whose name and form stay as they are"),
    ):
        refused = run(spatial, tmp_path / "out", *words)
        assert isinstance(refused.exception, OptionError)
        assert why in str(refused.exception)
    assert run(spatial, tmp_path / "out", "--layout", "torchserve").exit_code == 2
    with pytest.raises(ReparamError, match="layout: must be one of triton, optimum, got 'torchserve'"):
        reparam_export.lay_out(spatial, tmp_path / "out", layout="torchserve")  # type: ignore[arg-type]


def test_a_model_goes_into_a_layout_as_its_bundle_does(plain: Path, tmp_path: Path) -> None:
    reparam_export.export(VAE.build(PLAIN, seed=3), tmp_path / "direct", layout="triton", name="plain")
    reparam_export.lay_out(plain, tmp_path / "later", layout="triton")
    for file in (path for path in (tmp_path / "later").rglob("*") if path.is_file()):
        assert file.read_bytes() == (tmp_path / "direct" / file.relative_to(tmp_path / "later")).read_bytes(), file.name
