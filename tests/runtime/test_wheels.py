"""Which of onnxruntime's two wheels runs: the one that an import takes, and neither where they overwrite each other."""

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

import reparam
from reparam.engine.wheel import WHEELS, installed_wheels
from reparam.errors import MissingExtra

DOCTOR = """
from reparam.cli.main import main
sys.argv = ["reparam", "doctor", "--json"]
main()
"""


def wheel(site: Path, name: str, version: str, package: Path | None) -> Path:
    """A folder of installed packages with a wheel of onnxruntime: its package is links to the files of another."""
    told = site / f"{name.replace('-', '_')}-{version}.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if package is not None:
        (site / "onnxruntime").mkdir()
        for each in package.iterdir():
            (site / "onnxruntime" / each.name).symlink_to(each)
    return site


@pytest.fixture
def package() -> Path:
    return Path(onnxruntime.__file__).parent


def test_a_wheel_of_a_folder_that_comes_first_is_taken_beside_the_environments_own(
    fresh: Any, bundle: Path, tmp_path: Path, package: Path
) -> None:
    (own,) = installed_wheels()
    other = next(name for name in WHEELS if name != own)
    site = wheel(tmp_path / "site", other, "9.9", package)
    ended = fresh(f"""
import sys
sys.path.insert(0, {str(site)!r})
import numpy as np, reparam
vae = reparam.load({str(bundle)!r}, device="cpu")
vae.encode(np.zeros((1, 1, 8, 8), np.float32))
print(sys.modules["onnxruntime"].__file__)
{DOCTOR}""")
    place, _, told = ended.out.partition("\n")
    assert (ended.code, Path(place).parent) == (0, site / "onnxruntime"), ended.err
    assert json.loads(told)["wheels"] == {other: "9.9"}


def test_a_wheel_of_a_folder_that_comes_last_is_passed_over(fresh: Any, bundle: Path, tmp_path: Path) -> None:
    (own,) = installed_wheels()
    other = next(name for name in WHEELS if name != own)
    site = wheel(tmp_path / "site", other, "9.9", None)
    ended = fresh(f"""
import sys
sys.path.append({str(site)!r})
import reparam
reparam.load({str(bundle)!r}, device="cpu")
{DOCTOR}""")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["wheels"] == installed_wheels()


def test_two_wheels_in_one_folder_are_refused_with_the_lines_that_mend_them(
    fresh: Any, bundle: Path, tmp_path: Path, package: Path
) -> None:
    site = wheel(tmp_path / "site", "onnxruntime", "9.9", package)
    wheel(site, "onnxruntime-gpu", "9.9", None)
    ended = fresh(f"""
import sys
sys.path.insert(0, {str(site)!r})
import reparam
try:
    reparam.load({str(bundle)!r}, device="cpu")
except reparam.errors.MissingExtra as error:
    print(error)
""")
    assert ended.out == (
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; pip uninstall -y onnxruntime "
        "onnxruntime-gpu, then pip install 'reparam[gpu]' or 'reparam[cpu]'\n"
    )


def test_a_missing_wheel_is_named_with_the_line_that_mends_it(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(importlib.metadata, "distribution", not_found)
    with pytest.raises(MissingExtra, match=r"^onnxruntime is not installed; pip install 'reparam\[cpu\]', or ") as e:
        reparam.load(bundle, device="cpu")
    assert isinstance(e.value, ImportError)
