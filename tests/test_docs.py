"""Pages of docs/ whose commands and code run as they stand, in their order."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("page", ["big-inputs.md"])
def test_the_commands_and_the_code_of_a_page_run(page: str, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models", target_is_directory=True)
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    commands = [
        [sys.executable, "-m", "reparam.cli.main", *shlex.split(line, comments=True)[1:]]
        for language, block in blocks
        for line in block.splitlines()
        if not language and line.startswith("reparam ")
    ]
    code = [[sys.executable, "-c", block] for language, block in blocks if language == "python"]
    assert commands
    assert code
    for command in (*commands, *code):
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, (command, done.stderr)
