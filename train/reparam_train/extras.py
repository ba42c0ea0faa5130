"""Says which pip line brings a package that is missing, before anything imports it."""

from importlib.util import find_spec
from typing import Final

from reparam.errors import MissingExtra

PACKAGES: Final = ("torch", "tqdm")


def need(*packages: str, what: str = "train", extra: str = "train") -> None:
    """`MissingExtra` where one of the packages that an extra brings is not installed; `what` needs them."""
    for name in packages or PACKAGES:
        if find_spec(name) is None:
            raise MissingExtra(f"{what} needs {name}: pip install 'reparam[{extra}]'")
