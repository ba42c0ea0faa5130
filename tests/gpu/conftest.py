"""What the tests on a card share: bundles made from a seed, models on the card, and how much of its memory is free."""

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.benchmark.feeds import inputs_of

ROOT = Path(__file__).resolve().parents[2]


def models() -> Any:
    """benchmarks/gpu/models.py, which makes the bundles of the report."""
    place = ROOT / "benchmarks" / "gpu" / "models.py"
    spec = importlib.util.spec_from_file_location("gpu_report_models", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bundles() -> Callable[[str], Path]:
    """A bundle by name: digits and mnist as they ship, conv of 64 x 64 x 3, and a narrow AutoencoderKL in SD's layout.

    The last has every layer of the real one, a quarter of its channels, and open sizes.
    """
    work = ROOT / "build" / "gpu"

    def find(name: str) -> Path:
        if name in ("digits", "mnist"):
            return ROOT / "models" / name
        made = models()
        model = made.conv(work) if name == "conv" else made.kl(work, side=64, channels=(32, 64, 128, 128))
        return Path(model.bundle)

    return find


@pytest.fixture(scope="session")
def loaded() -> Callable[..., AbstractContextManager[reparam.VAE]]:
    """A bundle on a device, closed at the end."""

    @contextmanager
    def load(bundle: Path, device: str = "cuda", **options: Any) -> Iterator[reparam.VAE]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a fallback would be a warning
            vae = reparam.load(bundle, device=device, **options)
        with vae:
            yield vae

    return load


@pytest.fixture(scope="session")
def rows() -> Callable[[reparam.VAE, int], tuple[np.ndarray, np.ndarray]]:
    """The first n keyed rows of x and eps of a model."""

    def make(vae: reparam.VAE, n: int) -> tuple[np.ndarray, np.ndarray]:
        x, eps = inputs_of(vae.manifest, n)
        assert eps is not None
        return x, eps

    return make


@pytest.fixture
def free() -> Callable[[], int]:
    """Bytes of the card that nobody holds."""
    import torch

    def ask() -> int:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info()[0])

    return ask
