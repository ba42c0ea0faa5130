"""A bundle is believed only whole: damage, strange files and changes while it is read."""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.errors import BundleError, BundleNotFound

GRAPHS = ["encoder.onnx", "decoder.onnx"]
FILES = ["manifest.json", *GRAPHS, "golden.npz"]
Maker = Callable[..., Path]


def read_all(folder: Path) -> None:
    """Reads every file of a bundle, as load and verify together do."""
    reparam.verify(folder, device="cpu", threads=1)


def test_the_bundle_that_ships_is_whole_and_gives_its_sources_numbers(bundle: Path) -> None:
    (done,) = reparam.verify(bundle, device="cpu")
    assert {"mean", "logvar", "z", "x_hat"} <= set(done.worst)
    assert len(done.batches) >= 2


@pytest.mark.parametrize("name", [*GRAPHS, "golden.npz"])
def test_any_flipped_bit_is_refused(bundle: Path, scratch: Callable[[], Path], name: str) -> None:
    folder = shutil.copytree(bundle, scratch() / "bundle")
    whole = (folder / name).read_bytes()

    @given(st.integers(0, len(whole) - 1), st.integers(0, 7))
    def flipped(place: int, bit: int) -> None:
        data = bytearray(whole)
        data[place] ^= 1 << bit
        (folder / name).write_bytes(data)
        with pytest.raises(BundleError, match=f"{name}: its sha256 is not the manifest's: damaged or changed; copy"):
            read_all(folder)

    flipped()


@pytest.mark.parametrize("name", [*GRAPHS, "golden.npz"])
def test_any_other_length_is_refused(bundle: Path, scratch: Callable[[], Path], name: str) -> None:
    folder = shutil.copytree(bundle, scratch() / "bundle")
    whole = (folder / name).read_bytes()

    @given(st.integers(0, len(whole) - 1))
    def cut(size: int) -> None:
        (folder / name).write_bytes(whole[:size])
        with pytest.raises(BundleError, match=f"{name}: must have {len(whole)} bytes .*, got {size}; copy the bundle"):
            read_all(folder)

    cut()
    for more in (1, 100_000):
        (folder / name).write_bytes(whole + bytes(more))
        with pytest.raises(BundleError, match=f"{name}: must have {len(whole)} bytes .*, got more; copy the bundle"):
            read_all(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleNotFound, match=f"{name}: missing from the bundle; copy it whole or export it again"):
        read_all(copied)


def test_a_model_does_not_need_what_it_does_not_run(copied: Path) -> None:
    for name in ("golden.npz", "README.md", "preview.png"):
        (copied / name).unlink(missing_ok=True)
    with reparam.load(copied, device="cpu") as vae:
        assert vae.info().name


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound, match="nowhere: no such folder; give the folder of a bundle"):
        reparam.load(tmp_path / "nowhere", device="cpu")


def test_a_file_is_no_folder(copied: Path) -> None:
    with pytest.raises(BundleError, match=r"encoder\.onnx: a bundle is a folder, this is a file; give the folder"):
        reparam.load(copied / "encoder.onnx", device="cpu")
    with pytest.raises(BundleError, match=r"encoder\.onnx"):
        reparam.load(copied / "encoder.onnx" / "inside", device="cpu")


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_is_refused_unless_allowed(copied: Path, name: str) -> None:
    (copied / name).rename(copied.parent / "elsewhere")
    (copied / name).symlink_to(copied.parent / "elsewhere")
    with pytest.raises(BundleError, match=f"{name}: is a symbolic link; copy the file, or load with follow_links=True"):
        read_all(copied)
    assert reparam.verify(copied, device="cpu", follow_links=True)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("follow_links", [False, True])
def test_a_link_to_nothing_is_refused(copied: Path, name: str, follow_links: bool) -> None:
    (copied / name).unlink()
    (copied / name).symlink_to(copied / name)  # to itself
    with pytest.raises(BundleError, match=name):
        reparam.verify(copied, device="cpu", follow_links=follow_links)


def test_the_folder_itself_may_be_a_link(copied: Path) -> None:
    (copied.parent / "link").symlink_to(copied, target_is_directory=True)
    read_all(copied.parent / "link")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", FILES)
def test_a_fifo_is_refused_at_once(copied: Path, name: str) -> None:
    (copied / name).unlink()
    os.mkfifo(copied / name)
    for follow_links in (False, True):
        with pytest.raises(BundleError, match=f"{name}: must be a regular file"):
            reparam.verify(copied, device="cpu", follow_links=follow_links)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_refused(copied: Path, name: str) -> None:
    (copied / name).unlink()
    (copied / name).mkdir()
    with pytest.raises(BundleError, match=f"{name}: must be a regular file"):
        read_all(copied)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything; as nobody it may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def public(bundle: Path) -> Iterator[Path]:
    """A copy that everybody may read, where everybody may look."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(bundle, place / "bundle")
        yield place / "bundle"


@pytest.mark.parametrize("name", FILES)
def test_an_unreadable_file_is_refused_with_the_systems_reason(public: Path, name: str) -> None:
    (public / name).chmod(0)
    with without_privileges(), pytest.raises(BundleError, match=rf"{name}: cannot be opened \(Permission denied\);"):
        read_all(public)


def test_an_unreadable_folder_is_refused_with_the_systems_reason(public: Path) -> None:
    public.chmod(0)
    with without_privileges(), pytest.raises(BundleError, match=r"cannot be opened \(Permission denied\); check "):
        read_all(public)
    public.chmod(0o755)


def test_a_bundle_in_a_folder_that_may_not_be_entered_is_refused(public: Path) -> None:
    public.parent.chmod(0o700)
    with without_privileges(), pytest.raises(BundleError, match="bundle: "):
        read_all(public)


def test_the_pin_accepts_its_manifest_and_no_other(copied: Path) -> None:
    pin = hashlib.sha256((copied / "manifest.json").read_bytes()).hexdigest()
    for spelling in (pin, pin.upper()):
        with reparam.load(copied, device="cpu", expect_sha256=spelling) as vae:
            assert vae.info().name
    with (copied / "manifest.json").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(BundleError, match=rf"manifest\.json: its sha256 must be {pin} \(expect_sha256\), got [0-9a-f]"):
        reparam.load(copied, device="cpu", expect_sha256=pin)


@pytest.mark.parametrize("pin", ["", "0" * 64, "not a hash", 3, b"0"])
def test_a_pin_that_no_file_has_is_refused(bundle: Path, pin: object) -> None:
    with pytest.raises(reparam.errors.ReparamError, match="expect_sha256"):
        reparam.load(bundle, device="cpu", expect_sha256=pin)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="files are opened relative to their folder's descriptor")
def test_a_load_that_is_overtaken_by_an_export_sees_the_old_bundle_or_the_new(
    tiny: Maker, onnx: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reparam.bundle.writer import publish

    negative = tiny(
        tmp_path / "new",
        encoder=onnx.encoder(
            onnx.node("Neg", "x", "mean"), onnx.node("Sub", "x x", "logvar"), onnx.node("Add", "mean eps", "z")
        ),
        decoder=onnx.decoder(onnx.node("Neg", "z", "x_hat")),
        name="new",
    )
    target = tiny(tmp_path / "bundle", name="old")
    files = {file.name: file.read_bytes() for file in negative.iterdir()}
    opened, done = os.open, []

    def overtaken(path: str, *arguments: int, **options: int) -> int:
        if path == "decoder.onnx" and not done:
            done.append(path)
            publish(target, files)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", overtaken)
    vae = reparam.load(target, device="cpu")
    assert done
    x = np.ones((1, 2), np.float32)
    assert vae.encode(x).mean[0, 0] == {"old": 1, "new": -1}[vae.manifest.name]
    np.testing.assert_array_equal(vae.reconstruct(x), x)  # a mixture would change the sign
