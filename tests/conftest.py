"""What all tests share; those marked `gpu` are skipped, with what is missing, where no card starts."""

import functools
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# a shell's background job is started deaf to Ctrl-C, and so would be what the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and look into, for tests that go on as nobody."""
    with tempfile.TemporaryDirectory(prefix="reparam ") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@functools.cache
def why_no_card() -> str | None:
    """What keeps a model from running on a card here; None where nothing does."""
    from reparam.engine.device import Device, missing_for_cuda
    from reparam.engine.probe import probe
    from reparam.errors import ReparamError

    try:
        missing = missing_for_cuda()
        return f"{', '.join(missing)} missing" if missing else probe(Device("cuda"))
    except ReparamError as error:
        return str(error)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and (reason := why_no_card()):
        pytest.skip(f"needs a CUDA card: {reason}")
