"""The page of faults is what its rows say, and they hold in an environment where little is as usual."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogue.page import page
from catalogue.rows import ALL

HERE = Path(__file__).resolve().parent
NAME = "- Größe 数 x"  # a leading dash, spaces, and letters that ASCII does not have


def test_the_page_is_made_of_the_rows() -> None:
    assert (HERE / "catalogue.md").read_text(encoding="utf-8") == page(), "make catalogue writes it again"


def test_the_catalogue_has_sixty_rows_and_more_of_every_kind_and_no_name_twice() -> None:
    rows = [row for group in ALL.values() for row in group]
    assert len(rows) >= 60
    assert len({row.key for row in rows}) == len(rows)
    kinds = {row.key.partition("-")[0] for row in rows}
    assert kinds >= {"manifest", "file", "graph", "array", "npy", "device", "disk", "signal", "run", "source", "option"}


def test_every_message_is_one_line_and_every_code_one_that_the_readme_names() -> None:
    for group in ALL.values():
        for row in group:
            assert row.message.isprintable(), row.key
            assert row.code in (1, 2, 3, 4, 5, 6, 130, 143), row.key
            assert (row.error == "") == row.way.startswith("reparam "), row.key


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that may not be written to, with one in it that may."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / NAME).mkdir()
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


# root is bound by permissions too, once it has lost CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
BOUND = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="takes from root what sets it above permissions")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("group", "utf8"),
    [
        *((group, "") for group in ALL),
        ("runtime", "0"),
        *(pytest.param(group, "0", marks=pytest.mark.slow) for group in ALL if group != "runtime"),
    ],
)
def test_the_whole_catalogue_holds_in_locale_c_without_home_in_a_strange_folder_below_a_read_only_one(
    read_only: Path, group: str, utf8: str
) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    if utf8:
        environment["PYTHONUTF8"] = utf8

    def bound(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", BOUND, *words]
        return subprocess.run(command, cwd=read_only, env=environment, capture_output=True, text=True, check=False)

    if bound("-c", "import os, sys; sys.exit(os.access('.', os.W_OK))").returncode:
        pytest.skip("permissions do not bind this process, and nothing can be done about it here")
    done = bound("-m", "catalogue.elsewhere", NAME, group)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:-1] == []
    assert lines[-1] == f"{len(ALL[group])} rows, {'ascii' if utf8 else 'utf-8'}, writable: False"
