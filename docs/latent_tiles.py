"""Measures tiles on models that look at the whole image, for docs/latent.md: `python docs/latent_tiles.py FOLDER`.

Trains two small resnet VAEs, one with attention, on pieces of sheets of digits, and runs them on a sheet of 256 by 256
pixels whole and in tiles. What is in FOLDER already is not trained again; some minutes on one core where nothing is.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import reparam
from reparam.pictures import figure, png

DOCS = Path(__file__).resolve().parent
TRAIN = (
    "train crops.npy --net resnet --hidden 16,32,32 --blocks 1 --latent 4 --likelihood gaussian --std 0.1 --epochs 10 "
    "--batch-size 16 --lr 2e-3 --device cpu --threads 1 --no-pictures --no-preflight"
)
MODELS = {"group norm": "", "group norm and attention": "--attention"}
Array = npt.NDArray[np.float32]


def sheets(folder: Path) -> Array:
    """Writes 1,500 pieces of 32 by 32 pixels to train on; returns a sheet of 256 by 256, [1, 1, 256, 256]."""
    with np.load(DOCS.parent / "train" / "reparam_train" / "data" / "digits.npz") as stored:
        rows = stored["train_x"].astype(np.float32) / 16
    random = np.random.default_rng(0)

    def sheet(side: int) -> Array:
        chosen: Array = rows[random.integers(0, len(rows), (side, side))]
        return chosen.transpose(0, 2, 1, 3).reshape(side * 8, side * 8)

    large, crops = sheet(64), []
    for _ in range(1500):
        top, left = random.integers(0, 512 - 32, 2)
        crops.append(large[top : top + 32, left : left + 32])
    np.save(folder / "crops.npy", np.stack(crops)[:, None])
    return sheet(32)[None, None]


def bundle(folder: Path, option: str) -> Path:
    """The bundle of the model with this option, trained where it is not there."""
    place = folder / f"bundle{option}"
    for words in (f"{TRAIN} {option} --out run{option}", f"export run{option} {place.name}"):
        if not place.exists():
            subprocess.run([sys.executable, "-m", "reparam.cli.main", *shlex.split(words)], cwd=folder, check=True)  # noqa: S603  our own command
    return place


def measured(vae: reparam.VAE, x: Array) -> list[dict[str, Any]]:
    """Root mean square and largest error of reconstructions in tiles, in deviations of the whole's values."""
    whole, found = vae.reconstruct(x), []
    for tile in (64, 128):
        for overlap in (0, 8, 16, 24):
            error = (vae.reconstruct(x, tile=(tile, tile), overlap=overlap) - whole) / whole.std()
            rms, worst = float(np.sqrt((error**2).mean())), float(np.abs(error).max())
            found.append({"tile": tile, "overlap": overlap, "rms": rms, "worst": worst})
    return found


def picture(vae: reparam.VAE, x: Array) -> None:
    """A piece of the sheet: rows, one run, tiles without and with overlap, and where these differ."""
    tiles = {f"overlap {overlap}": vae.reconstruct(x, tile=(64, 64), overlap=overlap) for overlap in (0, 16)}
    whole = vae.reconstruct(x)
    parts = {"x": x, "one run": whole, **tiles}
    parts |= {f"{title}: error, x 4": np.abs(image - whole) * 4 for title, image in tiles.items()}
    page = figure(4.2, 3.1)
    for axes, (title, image) in zip(page.subplots(2, 3).flat, parts.items(), strict=True):
        axes.imshow(image[0, 0, 36:100, 36:100], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=8)
        axes.set_axis_off()
    (DOCS / "latent_tiles.png").write_bytes(png(page))


def main() -> None:
    """Writes latent_tiles.json and latent_tiles.png beside this file."""
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    x, found = sheets(folder), {}
    for name, option in MODELS.items():
        with reparam.load(bundle(folder, option), device="cpu", threads=1) as vae:
            found[name] = measured(vae, x)
            if not option:
                picture(vae, x)
    (DOCS / "latent_tiles.json").write_text(json.dumps({"train": TRAIN, "errors": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
