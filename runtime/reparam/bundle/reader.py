"""Reads a bundle: the folder is opened once, its files relative to that, and every byte is hashed before it is used."""

import contextlib
import dataclasses
import hashlib
import os
import re
import stat
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

from reparam.bundle.gate import check_graph, promised
from reparam.bundle.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    TRUSTS,
    Golden,
    Graph,
    Manifest,
    Precision,
    Role,
    Trust,
)
from reparam.bundle.outline import Admitted
from reparam.bundle.strict import decode_manifest
from reparam.bundle.writer import repair
from reparam.errors import BundleError, BundleNotFound, OptionError

_PIN: Final = re.compile("[0-9a-fA-F]{64}")
_OVERTAKEN: Final = 5  # times a load begins again because an export replaced the folder
_RELATIVE_OPEN: Final = os.open in os.supports_dir_fd  # everywhere but on Windows


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle in memory: the manifest and the bytes of its files, hashed and past the gate.

    Attributes:
        place: where it came from, for messages.
        manifest: the decoded manifest.
        files: bytes by file name; only the files that were asked for.
        sha256: of manifest.json as it was read, in hex; it pins every file. Empty for a bundle made in memory.
        admitted: its graphs by file name, once `believe` let them past the gate.
    """

    place: str
    manifest: Manifest
    files: Mapping[str, bytes]
    sha256: str = ""
    admitted: Mapping[str, Admitted] = dataclasses.field(default_factory=dict[str, Admitted])

    def graph(self, role: Role, precision: Precision) -> Admitted:
        """A graph past the gate: the very bytes that were hashed, and what was found in them."""
        graph = self.manifest.graph(role, precision)
        if graph is None or graph.file not in self.admitted:
            have = ", ".join(self.manifest.precisions)
            raise OptionError(f"precision: {self.place} has {have}, got {precision!r}; export it with that precision")
        return self.admitted[graph.file]


@contextlib.contextmanager
def _opened_folder(folder: Path) -> Generator[int | None]:
    if not _RELATIVE_OPEN:
        if not folder.is_dir():
            raise NotADirectoryError if folder.exists() else FileNotFoundError
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(folder: Path, descriptor: int | None, name: str, limit: int, *, follow_links: bool) -> bytes:
    """At most `limit` + 1 bytes of one regular file of the folder."""
    where = folder / name
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    if not follow_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        if descriptor is None:
            if not follow_links and where.is_symlink():
                raise BundleError(f"{where}: is a symbolic link; copy the file, or load with follow_links=True")
            file = os.open(where, flags)
        else:
            file = os.open(name, flags, dir_fd=descriptor)
    except FileNotFoundError:
        raise BundleNotFound(f"{where}: missing from the bundle; copy it whole or export it again") from None
    except OSError as error:
        if not follow_links and where.is_symlink():
            raise BundleError(f"{where}: is a symbolic link; copy the file, or load with follow_links=True") from None
        raise BundleError(f"{where}: cannot be opened ({error.strerror}); check its permissions") from None
    try:
        if stat.S_ISREG(os.fstat(file).st_mode):  # fdopen would refuse folders in words of its own
            with os.fdopen(file, "rb", closefd=False) as stream:
                return stream.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{where}: cannot be read ({error.strerror}); check the disk") from None
    finally:
        os.close(file)
    raise BundleError(f"{where}: must be a regular file")


def check_bytes(data: bytes, *, size: int, sha256: str, where: str) -> None:
    """Refuses bytes that are not the ones the manifest names.

    Raises:
        BundleError: another size or another sha256.
    """
    if len(data) != size:
        found = f"{len(data)}" if len(data) <= size else "more"
        raise BundleError(f"{where}: must have {size} bytes as the manifest says, got {found}; copy the bundle again")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError(f"{where}: its sha256 is not the manifest's: damaged or changed; copy the bundle again")


def _check_pin(data: bytes, expect_sha256: str | None, where: Path) -> None:
    found = hashlib.sha256(data).hexdigest()
    if expect_sha256 is not None and found != expect_sha256.lower():
        raise BundleError(f"{where}: its sha256 must be {expect_sha256} (expect_sha256), got {found}")


def read_bundle(
    path: str | os.PathLike[str],
    *,
    precisions: tuple[Precision, ...] | None = None,
    golden: bool = False,
    follow_links: bool = False,
    expect_sha256: str | None = None,
    trust: Trust = "strict",
) -> Bundle:
    """Reads a bundle's manifest and graphs, checks each byte against its sha256 and each graph at the gate.

    Args:
        path: the bundle's folder.
        precisions: which graphs to read; None for all, () for the manifest alone.
        golden: whether to read golden.npz too.
        follow_links: whether files of the bundle may be symbolic links.
        expect_sha256: the sha256, in hex, that manifest.json must have; it pins every file that the manifest names.
        trust: "exporter" takes operators that are not on the gate's list; nothing else becomes looser.

    Raises:
        BundleNotFound: no such folder, or a file of it is missing.
        BundleError: anything in it that is not as the manifest says, or that no bundle may hold.
        OptionError: trust is neither, or expect_sha256 no sha256.
    """
    if trust not in TRUSTS:
        raise OptionError(f"trust: must be {' or '.join(TRUSTS)}, got {trust!r:.80}")
    if expect_sha256 is not None and _PIN.fullmatch(str(expect_sha256)) is None:
        raise OptionError(
            f"expect_sha256: must be 64 hex digits, as `reparam info BUNDLE` prints them, got {expect_sha256!r:.80}"
        )
    folder = Path(path)
    if not os.fspath(path):
        raise BundleNotFound("path: is empty; give the folder of a bundle")
    for _ in range(_OVERTAKEN):
        try:
            found = _read_bundle(folder, precisions, golden=golden, follow_links=follow_links, pin=expect_sha256)
        except _OvertakenError:
            continue
        return believe(found, trust=trust)
    raise BundleError(f"{folder}: was replaced {_OVERTAKEN} times while it was read; load it once that is over")


class _OvertakenError(Exception):
    """Another folder has the bundle's name by now, so a file missing from the old one is no damage."""


def _read_bundle(
    folder: Path, precisions: tuple[Precision, ...] | None, *, golden: bool, follow_links: bool, pin: str | None
) -> Bundle:
    with contextlib.ExitStack() as stack:
        try:
            repair(folder)
            descriptor = stack.enter_context(_opened_folder(folder))
        except FileNotFoundError:
            raise BundleNotFound(f"{folder}: no such folder; give the folder of a bundle") from None
        except NotADirectoryError:
            raise BundleError(
                f"{folder}: a bundle is a folder, this is a file; give the folder that holds it"
            ) from None
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            reason = getattr(error, "strerror", None) or error
            raise BundleError(f"{folder}: cannot be opened ({reason}); check its permissions") from None

        def read(name: str, limit: int) -> bytes:
            try:
                return _read(folder, descriptor, name, limit, follow_links=follow_links)
            except BundleNotFound:
                if descriptor is not None and not _still_there(folder, descriptor):
                    raise _OvertakenError from None
                raise

        data = read(MANIFEST_NAME, MAX_MANIFEST_BYTES)
        _check_pin(data, pin, folder / MANIFEST_NAME)
        manifest = decode_manifest(data, where=str(folder / MANIFEST_NAME))
        files: dict[str, bytes] = {}
        for entry in manifest.graphs:
            if precisions is None or entry.precision in precisions:
                files[entry.file] = read(entry.file, entry.bytes)
        if golden:
            files[manifest.golden.file] = read(manifest.golden.file, manifest.golden.bytes)
    return Bundle(str(folder), manifest, files, hashlib.sha256(data).hexdigest())


def _still_there(folder: Path, descriptor: int) -> bool:
    """Whether the opened folder still has its name."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except OSError:
        return False


def believe(bundle: Bundle, *, trust: Trust = "strict") -> Bundle:
    """The bundle with its graphs admitted, once every file has its bytes and every graph is past the gate."""
    admitted: dict[str, Admitted] = {}
    entries: tuple[Graph | Golden, ...] = (*bundle.manifest.graphs, bundle.manifest.golden)
    for entry in entries:
        if entry.file not in bundle.files:
            continue
        where = str(Path(bundle.place) / entry.file)
        check_bytes(bundle.files[entry.file], size=entry.bytes, sha256=entry.sha256, where=where)
        if isinstance(entry, Graph):
            data, strict = bundle.files[entry.file], trust == "strict"
            admitted[entry.file] = check_graph(data, promised(entry, bundle.manifest), where=where, strict=strict)
    return dataclasses.replace(bundle, admitted=admitted)
