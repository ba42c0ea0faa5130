"""Everything that needs optimum, in one process: `optimum_run.py OUT`, which is an empty folder.

Saves a small random Stable Diffusion pipeline, exports it with optimum's own exporter, imports the VAE as a bundle,
writes that in the layout of optimum, and runs both through optimum's ORT classes. What each gives lies in .npz files:
torch.npz of PyTorch, sizes `2` (as trained) and `1_24x40` of x; pipelines.npz of the ORT pipelines.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTStableDiffusionImg2ImgPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import reparam
import reparam_export

CASES = {"2": (range(2), (32, 32)), "1_24x40": (range(7, 8), (24, 40))}


def vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
        scaling_factor=0.25,
    ).eval()


def pipeline(folder: Path) -> StableDiffusionPipeline:
    (folder / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    words = CLIPTextConfig(
        vocab_size=3,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 8),
        layers_per_block=1,
        cross_attention_dim=8,
        norm_num_groups=4,
        attention_head_dim=4,
    )
    return StableDiffusionPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(words),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def in_torch(model: AutoencoderKL) -> dict[str, np.ndarray]:
    found = {}
    with torch.no_grad():
        for case, (rows, (height, width)) in CASES.items():
            x = torch.from_numpy(reparam.noise("uniform", 5, rows, (3, height, width), stream="data"))
            eps = torch.from_numpy(reparam.noise("normal", 5, rows, (4, height // 4, width // 4)))
            posterior = model.encode(x).latent_dist
            z = posterior.mean + torch.exp(posterior.logvar / 2) * eps
            named = {"x": x, "eps": eps, "mean": posterior.mean, "logvar": posterior.logvar, "z": z}
            named["x_hat"] = model.decode(z).sample
            found |= {f"{name}_{case}": value.numpy() for name, value in named.items()}
    return found


def through_ort(folder: Path) -> dict[str, Any]:
    pipe = ORTStableDiffusionImg2ImgPipeline.from_pretrained(folder, export=False)
    pipe.set_progress_bar_config(disable=True)
    x = torch.from_numpy(reparam.noise("uniform", 5, range(2), (3, 32, 32), stream="data")).clamp(-1, 1)
    posterior = pipe.vae.encode(x).latent_dist
    image = pipe(
        prompt="a",
        image=(x[:1] + 1) / 2,
        strength=0.5,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).images
    decoded = pipe.vae.decode(posterior.mode()).sample
    return {
        "mean": posterior.mean.numpy(),
        "logvar": posterior.logvar.numpy(),
        "x_hat": decoded.numpy(),
        "image": image,
        "scale": pipe.vae_scale_factor,
        "scaling": pipe.vae.config.scaling_factor,
    }


def main(out: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    pipe = pipeline(out)
    pipe.save_pretrained(out / "torch")
    np.savez(out / "torch.npz", **in_torch(pipe.vae))
    main_export(str(out / "torch"), output=out / "onnx", task="text-to-image", do_validation=False)
    reparam_export.import_optimum(out / "onnx", out / "bundle")
    reparam_export.lay_out(out / "bundle", out / "layout", layout="optimum")
    shutil.copytree(out / "onnx", out / "ours")
    shutil.copytree(out / "layout", out / "ours", dirs_exist_ok=True)
    runs = {"theirs": through_ort(out / "onnx"), "ours": through_ort(out / "ours")}
    arrays = {f"{whose}_{name}": np.asarray(value) for whose, found in runs.items() for name, value in found.items()}
    np.savez(out / "pipelines.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
