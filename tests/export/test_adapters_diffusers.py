"""Autoencoders of diffusers give in a bundle what they give in PyTorch, and come back as they were."""

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import reparam
import reparam_export
from reparam.errors import CheckpointError, ExportError, OptionError
from reparam_export.cli import export as export_command

with warnings.catch_warnings():  # of its own imports
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers", reason="needs the extra peers")
    for kind in ("AutoencoderKL", "AutoencoderTiny", "AutoencoderDC"):
        getattr(diffusers, kind)


def kl(
    levels: int = 2, down: str = "DownEncoderBlock2D", up: str = "UpDecoderBlock2D", *, seed: int = 1, **more: Any
) -> Any:
    torch.manual_seed(seed)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16, 16)[:levels],
        down_block_types=(down,) * levels,
        up_block_types=(up,) * levels,
        norm_num_groups=4,
        sample_size=16,
        **more,
    ).eval()


def least(**more: Any) -> Any:
    """The quickest to export."""
    return kl(1, mid_block_add_attention=False, **more)


def sliced() -> Any:
    """Three levels, neither 1 x 1 convolution, no attention, set to save memory."""
    model = kl(3, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.25, mid_block_add_attention=False)
    model.enable_slicing()
    model.enable_tiling()
    return model


def clamped() -> Any:
    """A posterior whose logvar leaves its bounds on both sides."""
    model = least()
    with torch.no_grad():
        model.quant_conv.bias[4], model.quant_conv.bias[5] = 1e3, -1e3
    return model


def tiny() -> Any:
    torch.manual_seed(2)
    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    ).eval()


def dc(block: str = "ResBlock", scales: tuple[int, ...] = ()) -> Any:
    torch.manual_seed(3)
    both: dict[str, Any] = {}
    for part in ("encoder", "decoder"):
        both |= {
            f"{part}_block_types": ("ResBlock", block),
            f"{part}_block_out_channels": (8, 16),
            f"{part}_layers_per_block": (1, 1),
            f"{part}_qkv_multiscales": ((), scales),
        }
    return diffusers.AutoencoderDC(latent_channels=4, attention_head_dim=4, **both).eval()


# the model, the shape that its export needs, and the shapes at which it is held against PyTorch
Case = tuple[Callable[[], Any], tuple[int, ...] | None, list[tuple[int, ...]]]
CASES: dict[str, Case] = {
    "kl": (kl, None, [(3, 16, 16), (3, 4, 10)]),
    "tiny": (tiny, (3, 16, 8), [(3, 16, 8), (3, 8, 12)]),
    "dc-attention": (lambda: dc("EfficientViTBlock", (5,)), (3, 8, 12), [(3, 8, 12)]),
    "kl-clamped": (clamped, None, [(3, 16, 16)]),
    "kl-sliced": (sliced, None, [(3, 16, 16), (3, 32, 20)]),
    "kl-attention": (
        lambda: kl(2, "AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D"),
        (3, 8, 8),
        [(3, 8, 8), (3, 16, 6)],
    ),
    "dc": (dc, (3, 8, 8), [(3, 8, 8), (3, 4, 6)]),
}
SLOW = ("dc-attention", "kl-clamped", "kl-sliced", "kl-attention", "dc")
Made = tuple[str, Any, Path]


@pytest.fixture(scope="module", params=[pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The name of a case, its model, and the folder of its bundle."""
    build, shape, _ = CASES[request.param]
    model, folder = build(), tmp_path_factory.mktemp("diffusers") / request.param
    reparam_export.export(model, folder, input_shape=shape)
    return request.param, model, folder


def encode(model: Any) -> Callable[[Tensor], Mapping[str, Tensor]]:
    """The model's own interface."""

    def call(x: Tensor) -> Mapping[str, Tensor]:
        found = model.encode(x)
        if hasattr(found, "latent_dist"):
            return {"mean": found.latent_dist.mean, "logvar": found.latent_dist.logvar}
        return {"z": found.latents if hasattr(found, "latents") else found.latent}

    return call


def test_the_bundle_agrees_with_the_model_at_every_batch_and_size(made: Made, agree: Any) -> None:
    name, model, folder = made
    model.disable_slicing()
    model.disable_tiling()
    agree(folder, encode(model), lambda z: model.decode(z).sample, CASES[name][2])


def test_the_manifest_says_what_diffusers_knows_and_no_more(made: Made) -> None:
    name, model, folder = made
    manifest = json.loads((folder / "manifest.json").read_text())
    rows, latent = manifest["input"], manifest["latent"]
    assert (rows["low"], rows["high"], rows["layout"]) == (-1.0, 1.0, "channels_first")
    assert manifest["deterministic"] == (not name.startswith("kl")) == (latent["noise"] is None)
    assert latent["scaling_factor"] == model.config.scaling_factor
    assert latent["shift_factor"] == model.config.get("shift_factor")
    assert manifest["likelihood"] is manifest["training"] is None
    assert manifest["verification"][0]["bound"] == {"absolute": 1e-4, "relative": 1e-3, "largest": 0.0}
    side = rows["shape"][1] // latent["shape"][1]
    assert rows["factors"] == (None if name == "dc-attention" else [side, side])


def test_a_model_of_fixed_sizes_reads_none_at_run_time(made: Made) -> None:
    manifest = json.loads((made[2] / "manifest.json").read_text())
    read = [graph["shape_nodes"] for graph in manifest["graphs"]]
    assert manifest["input"]["factors"] is not None or read == [0, 0]


def test_a_bfloat16_model_in_training_is_exported_in_float32_and_comes_back_as_it_was(
    tmp_path: Path, agree: Any
) -> None:
    model = least().to(torch.bfloat16).train()
    model.decoder.eval()
    model.encoder.register_forward_hook(lambda *_: None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    looks = [(part.training, dict(part._forward_hooks), vars(part).get("forward")) for part in model.modules()]
    reparam_export.export(model, tmp_path / "bundle")
    assert looks == [(p.training, dict(p._forward_hooks), vars(p).get("forward")) for p in model.modules()]
    after = model.state_dict()
    assert all(value.dtype == torch.bfloat16 and torch.equal(value, before[name]) for name, value in after.items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    same = model.float().eval()
    agree(tmp_path / "bundle", encode(same), lambda z: same.decode(z).sample, [(3, 16, 16)])


@pytest.mark.slow
def test_attention_of_another_kernel_is_exported_as_the_same_attention(tmp_path: Path, agree: Any) -> None:
    from diffusers.models.attention_processor import SlicedAttnProcessor

    model = kl(1)
    model.set_attn_processor(SlicedAttnProcessor(1))
    reparam_export.export(model, tmp_path / "bundle", input_shape=(3, 8, 8))
    assert {type(processor) for processor in model.attn_processors.values()} == {SlicedAttnProcessor}
    agree(tmp_path / "bundle", encode(model), lambda z: model.decode(z).sample, [(3, 8, 8)])


def test_a_saved_folder_is_exported_by_the_command_like_the_model_it_holds(tmp_path: Path) -> None:
    model = least()
    model.save_pretrained(tmp_path / "pipeline" / "vae")
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    words = [str(tmp_path / "pipeline"), str(tmp_path / "bundle"), "--input-shape", "3,8,12", "--json"]
    done = CliRunner().invoke(export_command, words)
    assert done.exit_code == 0, done.output
    x = reparam.noise("uniform", 1, range(2), (3, 8, 12), stream="data") / 2
    with reparam.load(tmp_path / "bundle", device="cpu") as vae, torch.no_grad():
        assert vae.manifest.input.shape == (3, 8, 12)
        wanted = model.encode(torch.from_numpy(x)).latent_dist.mean
        np.testing.assert_allclose(vae.encode(x).mean, wanted.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_half_precision_weights_of_a_folder_are_found_and_exported_in_float32(tmp_path: Path, agree: Any) -> None:
    model = least().half()
    model.save_pretrained(tmp_path / "half", variant="fp16")
    reparam_export.export(tmp_path / "half", tmp_path / "bundle")
    same = model.float()
    agree(tmp_path / "bundle", encode(same), lambda z: same.decode(z).sample, [(3, 16, 16)])


def edited(folder: Path, **changes: Any) -> Path:
    """A saved model whose config.json was changed."""
    least().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "error", "line"),
    [
        ({"_class_name": "UNet2DModel"}, ExportError, "diffusers' UNet2DModel is not exported, only AutoencoderKL"),
        ({"_class_name": 3}, CheckpointError, "not a training run, nor a model that an adapter"),
        ({"block_out_channels": [16]}, CheckpointError, "diffusers cannot read the model: .*size mismatch"),
        ({"block_out_channels": "many"}, CheckpointError, "diffusers cannot read the model"),
        ({"layers_per_block": 2}, CheckpointError, "the weights are not those of its AutoencoderKL: .* is missing"),
        ({"layers_per_block": 0}, CheckpointError, "not those of its AutoencoderKL: .* is none of its weights"),
        ({"scaling_factor": -1}, ExportError, "scaling_factor must be a finite number above 0, got -1"),
    ],
)
def test_a_folder_whose_configuration_lies_is_refused(
    tmp_path: Path, refused: Any, changes: dict[str, Any], error: Any, line: str
) -> None:
    found = refused(edited(tmp_path / "saved", **changes), error)
    assert re.search(line, found), found


def test_a_folder_without_plain_weights_is_refused_and_its_pickle_never_opened(tmp_path: Path, refused: Any) -> None:
    folder = edited(tmp_path / "saved")
    weights = folder / "diffusion_pytorch_model.safetensors"
    cut = weights.read_bytes()[:-9]
    weights.unlink()
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    assert "pickled weights are not read; save the model again" in refused(folder, CheckpointError)
    weights.write_bytes(cut)
    assert "diffusers cannot read the model" in refused(folder, CheckpointError)
    (tmp_path / "model_index.json").write_text("{}")
    assert "a pipeline of diffusers without a folder vae" in refused(tmp_path, CheckpointError)


def test_a_shape_that_the_model_cannot_take_is_refused_with_the_rule(refused: Any) -> None:
    assert "must be [3, height, width], its sides multiples of 4, got [3, 8, 6]" in refused(
        tiny(), OptionError, input_shape=(3, 8, 6)
    )
    assert "the model does not record its image size; give (3, height, width)" in refused(tiny(), OptionError)
    assert "got [1, 8, 8]" in refused(least(), OptionError, input_shape=(1, 8, 8))
    assert "takes images of 3 channels and gives 1" in refused(least(out_channels=1), ExportError)
    assert "input_shape: must be the sizes of one row" in refused(least(), OptionError, input_shape="3,8,8")
    assert "input_shape[1]: must be an integer from 1" in refused(least(), OptionError, input_shape=(3, 0, 8))


def test_no_convolution_of_an_encoder_has_uneven_pads_which_cudnn_may_refuse(tmp_path: Path) -> None:
    reparam_export.export(kl(3, mid_block_add_attention=False), tmp_path / "b")
    nodes = onnx.load(tmp_path / "b" / "encoder.onnx").graph.node
    pads = [onnx.helper.get_node_attr_value(node, "pads") for node in nodes if node.op_type == "Conv"]
    assert all(each[:2] == each[2:] for each in pads)
    assert sum(node.op_type == "Pad" for node in nodes) == 2  # one for each step down
