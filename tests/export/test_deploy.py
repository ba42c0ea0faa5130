"""docs/deploy.md: its commands run as they stand there, in their order."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from reparam.cli.main import group

ROOT = Path(__file__).resolve().parents[2]


def run(words: list[str]) -> None:
    """One command; those of entry points by what pyproject.toml says, installed or not."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["reparam.commands"]
    if words[0] in entries:
        module, _, name = entries[words[0]].partition(":")
        getattr(importlib.import_module(module), name).main(words[1:], standalone_mode=False)
    else:
        group.main(words, standalone_mode=False)


def test_the_commands_of_the_page_run_in_its_order(peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer.write().rename(tmp_path / "onnx")
    (tmp_path / "models").symlink_to(ROOT / "models", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    fenced = re.findall(r"^```\n(.*?)^```$", (ROOT / "docs" / "deploy.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in fenced for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "reparam"
        run(words)
    assert (tmp_path / "repository" / "reconstruct" / "config.pbtxt").is_file()
    assert (tmp_path / "folder" / "vae_encoder" / "config.json").is_file()
