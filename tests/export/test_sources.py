"""Every source that `reparam train` takes goes the whole way from the command line: train, export, evaluate."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import reparam
from reparam.bundle.manifest import Mixed
from reparam_train import record
from reparam_train.data import load

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 8, 8), np.uint8)
COLOURS = [("red", "green", "blue")[i % 3] for i in range(60)]
INCOMES = RANDOM.normal(1e5, 3e4, 60).astype(np.float32)


def csv(folder: Path) -> str:
    lines = (f"{i},{INCOMES[i]!r},{COLOURS[i]},{i % 2}".replace("np.float32(", "").replace(")", "") for i in range(60))
    (folder / "table.csv").write_text("\n".join(["id,income,colour,alive", *lines]))
    return "table.csv"


def parquet(folder: Path) -> str:
    columns = {"income": pa.array(INCOMES), "colour": pa.array(COLOURS), "alive": [bool(i % 2) for i in range(60)]}
    pq.write_table(pa.table(columns), folder / "table.parquet")
    return "table.parquet"


def npz(folder: Path) -> str:
    np.savez(folder / "rows.npz", x_train=IMAGES, x_test=IMAGES[:7], y_train=np.arange(40) % 10)
    return "rows.npz"


def images(folder: Path) -> str:
    (folder / "photos").mkdir()
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
    return "photos"


def function(folder: Path) -> str:
    code = "import numpy as np\n\ndef rows():\n    return np.linspace(0, 1, 200, dtype=np.float32).reshape(40, 5)\n"
    (folder / "mine.py").write_text(code)
    return "mine:rows"


def signal(folder: Path) -> str:
    np.save(folder / "signals.npy", RANDOM.normal(size=(40, 2, 16)).astype(np.float32))
    return "signals.npy"


def reparam_command(folder: Path, *words: str | Path) -> str:
    command = [sys.executable, "-m", "reparam.cli.main", *map(str, words)]
    environment = os.environ | {"REPARAM_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("make", "options", "rows"),
    [
        (csv, ["--column", "id=drop", "--test-every", "4"], 15),
        pytest.param(parquet, [], 6, marks=pytest.mark.slow),
        pytest.param(npz, [], 7, marks=pytest.mark.slow),
        pytest.param(images, ["--test-every", "5"], 8, marks=pytest.mark.slow),
        pytest.param(function, [], 4, marks=pytest.mark.slow),
        pytest.param(signal, ["--layout", "signal", "--net", "mlp"], 4, marks=pytest.mark.slow),
    ],
)
def test_a_source_trains_exports_and_is_evaluated_on_the_rows_that_training_kept(
    tmp_path: Path, make: Callable[[Path], str], options: list[str], rows: int
) -> None:
    source = make(tmp_path)
    tiny = ["--hidden", "8", "--latent", "2", "--epochs", "2", "--device", "cpu", "--threads", "1"]
    trained = json.loads(reparam_command(tmp_path, "train", source, "--out", "run", "--json", *tiny, *options))
    reparam_command(tmp_path, "train", source, "--out", "run", "--resume", "--epochs", "2")
    reparam_command(tmp_path, "export", "run", "bundle")
    for target in ("run", "bundle"):
        words = ["evaluate", target, source, "--device", "cpu", "--json"]
        found = json.loads(reparam_command(tmp_path, *words))
        assert found["rows"] == rows
        assert found["negative_elbo"] == pytest.approx(-trained["test_elbo"], abs=0.01)
    with reparam.load(tmp_path / "bundle", device="cpu") as vae:
        assert vae.manifest.input.shape == record.read(tmp_path / "run").config.input_shape
        if isinstance(vae.manifest.likelihood, Mixed):
            incomes = vae.generate(200, seed=1)[:, 0]
            assert 5e4 < incomes.mean() < 1.5e5  # in the table's own units


def test_all_rows_of_a_source_are_written_training_rows_first(tmp_path: Path) -> None:
    npz(tmp_path)
    reparam_command(tmp_path, "data", "rows.npz", "--split", "all", "--out", "x.npy")
    expected = np.concatenate([IMAGES, IMAGES[:7]])[:, None].astype(np.float32) / np.float32(255)
    assert np.array_equal(np.load(tmp_path / "x.npy"), expected)
    csv(tmp_path)
    words = ["data", "table.csv", "--split", "test", "--test-every", "2", "--column", "id=drop", "--out", "x.npy"]
    assert "test rows of table.csv, float32 [30, 5]" in reparam_command(tmp_path, *words)
    data = load(tmp_path / "table.csv", test_every=2, columns={"id": "drop"})
    assert np.array_equal(np.load(tmp_path / "x.npy"), data.test.batch(np.arange(30)))
