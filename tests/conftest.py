"""Tests marked `gpu` are skipped, with what is missing, where no card starts."""

import functools

import pytest


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
