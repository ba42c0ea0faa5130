"""docs/latent.md: its code runs, its numbers are those of the documents beside it, its links lead somewhere."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TEXT = (DOCS / "latent.md").read_text()
FOUND = json.loads((DOCS / "latent.json").read_text())
TILES = json.loads((DOCS / "latent_tiles.json").read_text())


def blocks(kind: str) -> list[str]:
    fenced = re.findall(r"^```([\w ]*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return [text for found, text in fenced if found == kind]


def told(name: str) -> str:
    found = re.search(rf"<!-- {name} -->(.*?)<!-- end -->", TEXT, re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with models/, in which this process is."""
    (tmp_path / "models").symlink_to(ROOT / "models", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_code_runs_after_its_commands(folder: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra aggregate is not installed")
    for line in "".join(blocks("")).splitlines():
        words = line.split()[1:]
        subprocess.run([sys.executable, "-m", "reparam.cli.main", *words], check=True, cwd=folder)
    names: dict[str, Any] = {}
    for code in blocks("python"):
        exec(code, names)  # one after the other, as a reader would
    assert names["line"].shape == names["arc"].shape == (4, 11, 1, 8, 8)
    assert (names["vae"].decode(names["z"]) == names["images"]).all()
    assert names["alarms"].shape == (149,)


def test_its_code_for_tensors_runs() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if not hasattr(onnxruntime.OrtValue, "from_dlpack"):
        pytest.skip("this onnxruntime has no OrtValue.from_dlpack")
    (code,) = blocks("python torch")
    done = subprocess.run([sys.executable, "-c", "import reparam\n" + code], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_its_code_for_tiles_runs() -> None:
    import reparam_export
    from reparam_train.model import VAE
    from reparam_train.options import VAEConfig

    config = VAEConfig(net="resnet", input_shape=(1, 8, 8), latent=2, hidden=(4, 8), likelihood="gaussian", std=0.5)
    reparam_export.export(VAE.build(config, seed=3), "resnet-bundle")
    (code,) = blocks("python tiles")
    names: dict[str, Any] = {}
    exec("import numpy as np\nimport reparam\n" + code, names)
    assert names["x_hat"].shape == (1, 1, 256, 192)


def test_its_numbers_are_those_of_the_documents() -> None:
    paths, distances = FOUND["paths"], FOUND["digits"]["energy_distance"]
    wanted = {
        "ends": f"{paths['norm_ends']:.2f}",
        "linear": f"{paths['norm_halfway']['linear']:.2f}",
        "spherical": f"{paths['norm_halfway']['spherical']:.2f}",
        **{name: f"{distance:.4f}" for name, distance in distances.items()},
        "empty": f"{FOUND['failure']['an empty image']:.1f}",
        "samples": f"{FOUND['failure']['its own samples, median']:.1f}",
    }
    assert {name: told(name) for name in wanted} == wanted
    rows = ["| model | tile | overlap | root mean square | largest |", "| --- | --- | --- | --- | --- |"]
    for name, errors in TILES["errors"].items():
        rows += [
            f"| {name} | {one['tile']} | {one['overlap']} | {one['rms']:.3f} | {one['worst']:.2f} |" for one in errors
        ]
    assert told("tiles").strip().splitlines() == rows


def test_the_numbers_come_again_from_the_models_that_ship(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra aggregate is not installed")
    spec = importlib.util.spec_from_file_location("latent_pictures", DOCS / "latent_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "DOCS", tmp_path)
    script.main()
    again = json.loads((tmp_path / "latent.json").read_text())
    assert again["failure"] == pytest.approx(FOUND["failure"], rel=1e-3)
    assert again["digits"]["energy_distance"] == pytest.approx(FOUND["digits"]["energy_distance"], rel=0.2)
    made = {file.name for file in tmp_path.glob("*.png")}
    assert made == {file.name for file in DOCS.glob("latent_*.png")} - {"latent_tiles.png"}


def test_what_it_claims_the_numbers_show() -> None:
    failure, distances = FOUND["failure"], FOUND["digits"]["energy_distance"]
    assert failure["an empty image"] < failure["its own samples, median"]
    assert distances["fitted"] < distances["own"] / 2
    for errors in TILES["errors"].values():
        by_size = {(one["tile"], one["overlap"]): one["rms"] for one in errors}
        assert by_size[128, 16] < by_size[64, 16] < by_size[64, 0]


def test_its_links_lead_to_files_and_its_pictures_are_small() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(links) >= 7
    assert [link for link in links if not (DOCS / link).is_file()] == []
    assert sum(file.stat().st_size for file in DOCS.glob("latent_*.png")) < 150_000
