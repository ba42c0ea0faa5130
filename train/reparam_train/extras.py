"""Says which pip line brings a package that is missing, before anything imports it."""

from importlib.util import find_spec
from typing import Final

from reparam.errors import MissingExtra

PACKAGES: Final = ("torch", "tqdm")


def need(*packages: str) -> None:
    """`MissingExtra` where one of the packages that the extra `train` brings is not installed."""
    for name in packages or PACKAGES:
        if find_spec(name) is None:
            raise MissingExtra(f"train needs {name}: pip install 'reparam[train]'")
