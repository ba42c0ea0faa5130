"""What may be wrong with a bundle's folder and files."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from catalogue.row import Place, Row


def removed(name: str) -> object:
    return lambda place: (place.bundle() / name).unlink()


def swapped_for_pipe(name: str) -> object:
    def make(place: Place) -> None:
        removed(name)(place)  # type: ignore[operator]
        os.mkfifo(place.at / "bundle" / name)

    return make


def flipped(place: Place) -> None:
    file = place.bundle() / "decoder.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(place: Place) -> None:
    os.truncate(place.bundle() / "encoder.onnx", 100)


def grown(place: Place) -> None:
    with (place.bundle() / "encoder.onnx").open("ab") as file:
        file.write(b"\0")


def linked(place: Place) -> None:
    file = place.bundle() / "decoder.onnx"
    file.rename(place.at / "elsewhere.onnx")
    file.symlink_to(place.at / "elsewhere.onnx")


def foldered(place: Place) -> None:
    removed("encoder.onnx")(place)  # type: ignore[operator]
    (place.at / "bundle" / "encoder.onnx").mkdir()


def overwritten_golden(place: Place) -> None:
    data = b"no archive"

    def entered(manifest: dict) -> None:  # type: ignore[type-arg]
        import hashlib

        manifest["golden"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    place.manifest(entered)
    (place.at / "bundle" / "golden.npz").write_bytes(data)


def _unbound() -> bool:
    """Whether this process may read and write everything: root, unless that was taken from it."""
    try:
        with Path("/proc/self/status").open() as file:
            effective = next(line.split()[1] for line in file if line.startswith("CapEff"))
    except OSError:
        return os.geteuid() == 0
    return bool(int(effective, 16) >> 1 & 1)  # CAP_DAC_OVERRIDE


@contextlib.contextmanager
def as_nobody(_: Place) -> Iterator[None]:
    """Root may read and write everything; nobody may not."""
    root = _unbound()
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@contextlib.contextmanager
def unreadable(place: Place) -> Iterator[None]:
    (place.at / "bundle" / "encoder.onnx").chmod(0)
    with as_nobody(place):
        yield
    (place.at / "bundle" / "encoder.onnx").chmod(0o644)


def _row(key: str, fault: str, message: str, make: object, way: str = "reparam info AT/bundle", **more: object) -> Row:
    return Row(key=f"file-{key}", fault=fault, way=way, message=message, code=3, make=make, **more)  # type: ignore[arg-type]


ROWS = [
    _row(
        "no-folder",
        "no such folder",
        "AT/nowhere: no such folder; give the folder of a bundle",
        lambda _: None,
        "reparam info AT/nowhere",
    ),
    _row(
        "no-bundle-folder",
        "a file in place of the folder",
        "AT/x.npy: a bundle is a folder, this is a file; give the folder that holds it",
        Place.rows,
        "reparam info AT/x.npy",
    ),
    _row(
        "empty-folder",
        "a folder without a manifest",
        "AT/empty/manifest.json: missing from the bundle; copy it whole or export it again",
        lambda place: (place.at / "empty").mkdir(),
        "reparam verify AT/empty --device cpu",
    ),
    _row(
        "missing",
        "a graph that is missing",
        "AT/bundle/decoder.onnx: missing from the bundle; copy it whole or export it again",
        removed("decoder.onnx"),
    ),
    _row(
        "flipped",
        "one bit flipped in a graph",
        "AT/bundle/decoder.onnx: its sha256 is not the manifest's: damaged or changed; copy the bundle again",
        flipped,
    ),
    _row(
        "cut",
        "a graph that is cut short",
        "AT/bundle/encoder.onnx: must have <n> bytes as the manifest says, got 100; copy the bundle again",
        cut,
    ),
    _row(
        "grown",
        "a graph with a byte more",
        "AT/bundle/encoder.onnx: must have <n> bytes as the manifest says, got more; copy the bundle again",
        grown,
    ),
    _row(
        "link",
        "a graph that is a symbolic link",
        "AT/bundle/decoder.onnx: is a symbolic link; copy the file, or load with follow_links=True",
        linked,
    ),
    _row(
        "pipe",
        "a pipe in place of the manifest",
        "AT/bundle/manifest.json: must be a regular file",
        swapped_for_pipe("manifest.json"),
    ),
    _row("folder", "a folder in place of a graph", "AT/bundle/encoder.onnx: must be a regular file", foldered),
    _row(
        "unreadable",
        "a graph that this user may not read",
        "AT/bundle/encoder.onnx: cannot be opened (Permission denied); check its permissions",
        Place.bundle,
        during=unreadable,
    ),
    _row(
        "golden",
        "golden vectors that are no archive, rightly hashed",
        "AT/bundle/golden.npz: not the golden vectors of this bundle: File is not a zip file; export it again",
        overwritten_golden,
        "reparam verify AT/bundle --device cpu",
    ),
    _row(
        "pin",
        "another bundle than the one that is pinned",
        f"AT/bundle/manifest.json: its sha256 must be {'0' * 64} (expect_sha256), got <hex>",
        Place.bundle,
        f"reparam info AT/bundle --expect-sha256 {'0' * 64}",
    ),
    Row(
        key="file-pin-none",
        fault="a pin that is no sha256",
        way="reparam info AT/bundle --expect-sha256 abc",
        message="expect_sha256: must be 64 hex digits, as `reparam info BUNDLE` prints them, got 'abc'",
        code=2,
        make=Place.bundle,
    ),
    _row(
        "pin-job",
        "the same, before a result is begun",
        f"AT/bundle/manifest.json: its sha256 must be {'0' * 64} (expect_sha256), got <hex>",
        Place.both,
        f"reparam encode AT/bundle AT/x.npy --mean AT/out.npy --expect-sha256 {'0' * 64}",
    ),
    Row(
        key="file-null",
        fault="a null byte in the path",
        way='reparam.load("AT/bundle\\0")',
        message=r"AT/bundle\x00: cannot be opened (embedded null byte); check its permissions",
        code=3,
        error="BundleError",
    ),
    Row(
        key="file-mixture",
        fault="a fitted prior that is no archive",
        way='reparam.GaussianMixture.load("AT/prior.npz")',
        message="AT/prior.npz: not a Gaussian mixture as GaussianMixture.save writes it: File is not a zip file",
        code=4,
        error="InputError",
        make=lambda place: (place.at / "prior.npz").write_bytes(b"no archive"),
    ),
]
