"""layout.json: which files of a folder we wrote, so that the next export knows what it may replace."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from reparam.bundle.manifest import Manifest
from reparam.errors import OutputError
from reparam.files.regular import read_regular

Layout = Literal["triton", "optimum"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)
RECORD: Final = "layout.json"
_MAX_BYTES: Final = 1 << 20


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which bundle a folder was written from, and the sha256 of each of its files by path."""

    format: Literal["reparam-layout"] = "reparam-layout"
    version: Literal[1] = 1
    layout: Layout
    name: str
    id: str
    files: dict[str, str]


def encode_record(layout: Layout, manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """layout.json for these files, indented."""
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    record = Record(layout=layout, name=manifest.name, id=manifest.id, files=hashes)
    return json.dumps(msgspec.to_builtins(record), indent=2).encode() + b"\n"


def check_layout(target: Path) -> None:
    """Refuses a folder that is not empty and holds anything but what its layout.json names, as it was written.

    Raises:
        OutputError: with what would be lost.
    """
    there = sorted(str(path.relative_to(target).as_posix()) for path in target.rglob("*") if not path.is_dir())
    if not there and not any(target.iterdir()):
        return
    try:
        own = msgspec.json.decode(read_regular(target / RECORD, most=_MAX_BYTES), type=Record).files
    except (OSError, ValueError, msgspec.MsgspecError):
        raise OutputError(f"{target}: holds no {RECORD} of ours and would be lost; choose another place") from None
    for name in there:
        path = target / name
        if name == RECORD:
            continue
        if path.is_symlink() or not path.is_file() or name not in own:
            raise OutputError(f"{target}: holds {name}, which was not written with it; move it away first")
        if hashlib.sha256(path.read_bytes()).hexdigest() != own[name]:
            raise OutputError(f"{target}: {name} was changed since it was written; move it away first")
