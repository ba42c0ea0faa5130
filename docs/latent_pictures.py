"""Makes the pictures and numbers of docs/latent.md from the models that ship: `python docs/latent_pictures.py`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import reparam
from reparam.pictures import figure, mosaic, png

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
Array = npt.NDArray[np.float32]


def digits() -> tuple[Array, Array]:
    """Training and held-out rows of models/digits."""
    with np.load(ROOT / "train" / "reparam_train" / "data" / "digits.npz") as stored:
        train, test = (stored[f"{split}_x"][:, None].astype(np.float32) / 16 for split in ("train", "test"))
    return train, test


def strips(name: str, parts: dict[str, Array], *, columns: int, scale: float) -> None:
    """A picture of named strips of images, one below the other; scale is inches a pixel."""
    sheets = {title: mosaic(images, columns=columns, low=0.0, high=1.0) for title, images in parts.items()}
    heights = [len(sheet) * scale for sheet in sheets.values()]
    width = max(sheet.shape[1] for sheet in sheets.values()) * scale
    page = figure(width + 0.2, sum(heights) + 0.3 * len(sheets) + 0.1)
    axes = page.subplots(len(sheets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for one, (title, sheet) in zip(axes, sheets.items(), strict=True):
        one.imshow(sheet, interpolation="nearest")
        one.set_axis_off()
        one.set_title(title, loc="left", fontsize=9)
    (DOCS / name).write_bytes(png(page))


def paths() -> dict[str, Any]:
    """Lines and arcs between samples of models/mnist, and the norms in their middle."""
    with reparam.load(ROOT / "models" / "mnist", device="cpu", threads=1) as vae:
        z = reparam.noise("normal", 3, range(200), vae.manifest.latent.shape, stream="prior")
        x = vae.decode(z)
        a, b = x[[6, 0]], x[[34, 47]]  # a 3 to a 0, a 7 to an 8
        found = {path: vae.interpolate(a, b, steps=11, path=path) for path in ("linear", "spherical")}
        strips(
            "latent_paths.png",
            {f"{path}, pair {pair + 1}": found[path][pair] for pair in range(2) for path in ("linear", "spherical")},
            columns=11,
            scale=0.018,
        )
        # the norms halfway, of all hundred pairs of ends
        from reparam.paths import between

        halfway = {
            path: float(np.linalg.norm(between(z[:100], z[100:], steps=3, path=path)[:, 1], axis=1).mean())
            for path in ("linear", "spherical")
        }
        return {"norm_ends": float(np.linalg.norm(z, axis=1).mean()), "norm_halfway": halfway}


def energy_distance(a: Array, b: Array) -> float:
    """Szekely and Rizzo (2013), equation 5: 0 where rows are drawn alike."""

    def mean_distance(one: Array, other: Array) -> float:
        one, other = (rows.reshape(len(rows), -1).astype(np.float64) for rows in (one, other))
        return float(np.sqrt(((one[:, None] - other) ** 2).sum(axis=2)).mean())

    return 2 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b)


def digits_numbers() -> dict[str, Any]:
    """Traversals, a fitted prior and anomaly scores of models/digits."""
    train, test = digits()
    with reparam.load(ROOT / "models" / "digits", device="cpu", threads=1) as vae:
        varied = vae.traverse(test[:1], range(8), steps=11)[0]  # [8, 11, 1, 8, 8]
        strips(
            "latent_traversal.png",
            {"one of the 8 latent dimensions a line, from -3 to 3": varied.reshape(-1, 1, 8, 8)},
            columns=11,
            scale=0.042,
        )
        prior = vae.fit_prior(train, components=10, seed=0)
        own, fitted = vae.generate(299, seed=1), vae.generate(299, seed=1, prior=prior)
        strips(
            "latent_prior.png",
            {
                "held-out digits": test[:18],
                "samples of the model's own prior": own[:18],
                "samples of a mixture fitted to encoded rows": fitted[:18],
            },
            columns=18,
            scale=0.04,
        )
        random = np.random.default_rng(0)
        groups = {
            "held-out digits": test,
            "digits, pixels shuffled": random.permuted(test.reshape(299, 64), axis=1).reshape(test.shape),
            "uniform noise": random.random(test.shape, np.float32),
        }
        scores = {name: vae.anomaly(rows, seed=1) for name, rows in groups.items()}
        distances = {"own": energy_distance(own, test), "fitted": energy_distance(fitted, test)}
        distances["training rows"] = energy_distance(train[:299], test)
    histogram(scores)
    medians = {name: float(np.median(values)) for name, values in scores.items()}
    return {"energy_distance": distances, "anomaly_median": medians}


def histogram(scores: dict[str, npt.NDArray[np.float64]]) -> None:
    """Scores of each group of rows."""
    page = figure(5.6, 2.2)
    axes = page.add_subplot()
    edges = np.linspace(min(map(np.min, scores.values())), max(map(np.max, scores.values())), 80)
    for name, values in scores.items():
        axes.hist(values, edges, alpha=0.7, label=name)
    axes.set_xlabel("anomaly score: negative ELBO, nats")
    axes.set_ylabel("rows")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    (DOCS / "latent_anomaly.png").write_bytes(png(page))


def failure() -> dict[str, float]:
    """Scores of models/mnist: of its own samples, and of an empty image, which it never saw."""
    with reparam.load(ROOT / "models" / "mnist", device="cpu", threads=1) as vae:
        samples = (vae.generate(300, seed=5) > 0.5).astype(np.float32)
        return {
            "its own samples, median": float(np.median(vae.anomaly(samples, seed=1))),
            "an empty image": float(vae.anomaly(np.zeros((1, 1, 28, 28), np.float32), seed=1)[0]),
        }


def main() -> None:
    """Writes latent_*.png and latent.json beside this file."""
    found = {"paths": paths(), "digits": digits_numbers(), "failure": failure()}
    (DOCS / "latent.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
