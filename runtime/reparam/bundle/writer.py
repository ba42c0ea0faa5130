"""Publishes a bundle, or another folder of files, in one step: a reader sees the old one or the new, never a mixture.

The files are written to a sibling folder, flushed, and the two names are exchanged: in one step on Linux (renameat2),
elsewhere by two renames. Between those two, and only then, the name is missing while `.NAME.previous` holds the old
bundle; `repair`, which every load and export calls, puts it back after a crash in that window.
"""

import contextlib
import ctypes
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from reparam.bundle.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES
from reparam.bundle.strict import decode_manifest
from reparam.errors import BundleError, OutputError
from reparam.files.atomic import check_folder, settle, sync_folder
from reparam.files.leftovers import in_the_making, remove_tree, sweep
from reparam.files.reasons import as_output_error
from reparam.files.regular import read_regular
from reparam.files.room import check_room

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_ATTEMPTS = 5


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def repair(target: Path) -> None:
    """Puts back the bundle that a crash between two renames left beside its name; usually does nothing."""
    if target.name and not os.path.lexists(target) and _previous(target).is_dir():
        with contextlib.suppress(OSError):
            _previous(target).rename(target)


def check_bundle(target: Path) -> None:
    """Refuses a folder that holds anything but the files of one bundle, and is not empty.

    Raises:
        OutputError: with what would be lost.
    """
    entries = {entry.name: entry for entry in target.iterdir()}
    if not entries:
        return
    if MANIFEST_NAME not in entries:
        raise OutputError(f"{target}: is a folder but no bundle, and would be lost; choose another place")
    try:
        data = read_regular(entries[MANIFEST_NAME], most=MAX_MANIFEST_BYTES)
        manifest = decode_manifest(data, where=str(target / MANIFEST_NAME))
    except (BundleError, OSError, ValueError) as error:
        raise OutputError(f"{target}: would be lost, and is no bundle that can be read ({error})") from None
    own = {MANIFEST_NAME, "README.md", "preview.png", manifest.golden.file, *(g.file for g in manifest.graphs)}
    foreign = sorted(name for name, entry in entries.items() if name not in own or not entry.is_file())
    if foreign:
        raise OutputError(f"{target}: holds {foreign[0]}, which is no part of a bundle; move it away first")


def check_target(target: Path, *, inside: Callable[[Path], None] = check_bundle) -> None:
    """Refuses a place where publishing would destroy something that is not ours.

    Args:
        target: the folder to become.
        inside: refuses a folder that is there for what it holds; `check_bundle` lets bundles and empty folders pass.

    Raises:
        OutputError: a file, a folder that holds other things, a missing parent folder, or a name that cannot be.
    """
    with as_output_error(target):
        if not target.name or target.name == "..":
            raise OutputError(f"{target}: must name a folder to become, such as models/mine")
        if not target.parent.is_dir():
            raise OutputError(f"{target.parent}: no such folder; make it first")
        check_folder(target.parent, target)
        if not os.path.lexists(target):
            return
        if target.is_symlink() or not target.is_dir():
            raise OutputError(f"{target}: exists and is no folder; choose another place")
        inside(target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False where the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    arguments = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE))
    return bool(renameat2(*arguments) == 0)


def _swap(fresh: Path, target: Path) -> Path | None:
    """Gives `target`'s name to `fresh`; returns where the old folder is now, if there was one."""
    if not os.path.lexists(target):
        fresh.rename(target)
        return None
    if _exchange(fresh, target):
        return fresh
    old = _previous(target)
    for attempt in range(_ATTEMPTS):
        target.rename(old)
        try:
            fresh.rename(target)
        except OSError as error:
            overtaken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)  # by a load, which put the old bundle back
            repair(target)
            if not overtaken or attempt == _ATTEMPTS - 1:
                raise
        else:
            return old
    raise AssertionError("the last attempt returns or raises")


def publish(
    target: Path,
    files: Mapping[str, bytes],
    *,
    folders: Iterable[str] = (),
    inside: Callable[[Path], None] = check_bundle,
) -> None:
    """Writes a bundle's files and puts the folder in place in one step; an older bundle there is replaced.

    Args:
        target: the folder to become.
        files: bytes by file name; a bundle's are plain and one of them is the manifest, others may lie in folders.
        folders: empty folders that belong to it.
        inside: what may be replaced, see `check_target`.

    Raises:
        OutputError: the place cannot be written, or holds what is not a bundle; what was there is still there.
    """
    with as_output_error(target):
        repair(target)
        check_target(target, inside=inside)
        _sweep(target)
        check_room([(target, target.parent, sum(map(len, files.values())))])
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        try:
            with in_the_making(fresh):
                _write(fresh, files, folders)
                old = _swap(fresh, target)
        except BaseException:
            remove_tree(fresh)
            raise
        settle(target.parent)
        if old is not None:
            remove_tree(old)


def _write(fresh: Path, files: Mapping[str, bytes], folders: Iterable[str]) -> None:
    """Writes all files and brings them to the disk."""
    for name in folders:
        (fresh / name).mkdir(parents=True)
    for name, data in files.items():
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        with (fresh / name).open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    if os.name != "nt":
        mask = os.umask(0)
        os.umask(mask)
        fresh.chmod(0o777 & ~mask)
    for folder, _, _ in os.walk(fresh, topdown=False):
        sync_folder(Path(folder))


def _sweep(target: Path) -> None:
    """Removes what a killed export of the same name left behind; one under way is left alone."""
    sweep(target.parent, f".{target.name}.", ".part")
    remove_tree(_previous(target))  # `repair` came first, so it is one too many
