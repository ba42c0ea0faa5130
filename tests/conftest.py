"""What all tests share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and look into, for tests that go on as nobody."""
    with tempfile.TemporaryDirectory(prefix="reparam ") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
