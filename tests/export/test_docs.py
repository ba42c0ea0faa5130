"""What docs/export.md shows runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"


@pytest.mark.slow
def test_the_page_on_export_runs_from_top_to_bottom(tmp_path: Path) -> None:
    for needed in ("diffusers", "pythae"):
        if subprocess.run([sys.executable, "-c", f"import {needed}"], capture_output=True, check=False).returncode:
            pytest.skip(f"needs {needed} of the extra peers")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert [language for language, _ in blocks].count("python") == 3
    for language, text in blocks:
        commands = [["-c", text]]
        if language != "python":
            commands = [["-m", "reparam.cli.main", *shlex.split(line)[1:]] for line in text.splitlines()]
        for command in commands:
            done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (command, done.stderr)
