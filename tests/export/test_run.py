"""From a training run to a bundle, by the commands that a user types."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def reparam(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reparam.cli.main", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run."""
    path = tmp_path_factory.mktemp("run")
    options = ["--net", "mlp", "--hidden", "16", "--latent", "3", "--epochs", "2", "--seed", "5"]
    done = reparam("train", "digits", "--out", "run", *options, "--json", cwd=path)
    assert done.returncode == 0, done.stderr
    (path / "train.json").write_text(done.stdout)
    return path


def test_the_test_elbo_that_was_printed_stands_in_the_manifest(folder: Path) -> None:
    done = reparam("export", "run", "bundle", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((folder / "bundle" / "manifest.json").read_text())
    printed = json.loads((folder / "train.json").read_text())
    assert manifest["training"]["metrics"]["test_elbo"] == printed["test_elbo"]
    assert manifest["training"]["seed"] == 5
    assert manifest["training"]["data"]["name"] == "digits"
    assert manifest["name"] == "bundle"
    assert json.loads(done.stdout)["id"] == manifest["id"]


def test_a_run_with_the_same_seed_prints_the_same_elbo_to_the_last_digit(folder: Path) -> None:
    options = ["--net", "mlp", "--hidden", "16", "--latent", "3", "--epochs", "2", "--seed", "5"]
    again = reparam("train", "digits", "--out", "again", *options, "--json", cwd=folder)
    first, second = json.loads((folder / "train.json").read_text()), json.loads(again.stdout)
    assert [first[key] for key in ("test_elbo", "test_rate", "test_distortion")] == [
        second[key] for key in ("test_elbo", "test_rate", "test_distortion")
    ]


def test_a_plain_autoencoder_says_that_it_has_no_elbo_and_its_card_says_so_too(folder: Path) -> None:
    options = ["--net", "mlp", "--hidden", "8", "--latent", "2", "--epochs", "1", "--limit", "100"]
    done = reparam("train", "digits", "--out", "plain", *options, "--objective", "autoencoder", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["test_elbo"], printed["test_rate"]) == (None, None)
    assert reparam("export", "plain", "plain-bundle", cwd=folder).returncode == 0
    manifest = json.loads((folder / "plain-bundle" / "manifest.json").read_text())
    assert (manifest["deterministic"], manifest["latent"]["noise"]) == (True, None)
    assert set(manifest["training"]["metrics"]) == {"epoch", "step", "train_loss", "test_distortion"}
    card = (folder / "plain-bundle" / "README.md").read_text()
    assert "takes no noise and has no posterior" in card
    assert "Objective: distortion alone (a plain autoencoder)" in card
    assert reparam("verify", "plain-bundle", cwd=folder).returncode == 0


def test_a_missing_run_is_one_line_and_exit_code_3(folder: Path) -> None:
    done = reparam("export", "nowhere", "bundle2", cwd=folder)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("error: nowhere: no such folder")
    assert done.stderr.count("\n") == 1


def test_the_demo_leaves_a_run_a_bundle_and_pictures_and_its_python_lines_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the demo's pictures need the extra report")
    done = reparam("demo", "--out", "demo", "--epochs", "1", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pictures = {"reconstructions.png", "samples.png", "interpolation.png", "latents.png"}
    left = {"run", "digits", "test.npy", "labels.npy"} | pictures
    assert {path.name for path in (tmp_path / "demo").iterdir()} == left
    assert "test ELBO" in done.stdout
    lines = done.stdout[done.stdout.index("import reparam") :]
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", lines], cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
