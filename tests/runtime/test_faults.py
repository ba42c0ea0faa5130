"""Each I/O call of a write, a publication, a load and a command over files fails in turn, in every way that it can.

The old state is intact or the new one is whole, an error is one line, no final file is a stray, and the next attempt
ends as if nothing had been.
"""

import contextlib
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from catalogue.door import Ended, command, contents
from faulty import every_fault
from reparam.bundle import writer
from reparam.errors import BundleError, OutputError, ReparamError
from reparam.files import room
from reparam.files.atomic import write_bytes
from reparam.testing import tiny_bundle

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells files by /proc/self/fd")


def tried(act: Callable[[], Any]) -> ReparamError | None:
    """The error of an act in one printable line, or None where it went through."""
    try:
        act()
    except ReparamError as error:
        found = error
    else:
        return None
    assert str(found).isprintable()
    return found


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_file_is_the_old_or_the_new_whatever_call_fails(tmp_path: Path) -> None:
    place = tmp_path / "a.bin"
    new = bytes(range(256)) * 50

    def prepare() -> None:
        for path in tmp_path.iterdir():
            path.unlink()
        place.write_bytes(b"old")

    failed = 0
    for told, act in every_fault(tmp_path, prepare, lambda: write_bytes(place, new)):
        error = tried(act)
        assert error is None or isinstance(error, OutputError), told
        failed += error is not None
        assert place.read_bytes() == (new if error is None else b"old"), told
        assert visible(tmp_path) == {"a.bin"}, told
        write_bytes(place, new)
        assert contents(tmp_path) == {"a.bin": new}, told
    assert failed > 30


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "thorough"])
@pytest.mark.parametrize("one_step", [True, False], ids=["in one step", "by two renames"])
def test_a_bundle_is_the_old_or_the_new_whatever_call_of_its_publication_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_step: bool, thorough: bool
) -> None:
    if not one_step:
        monkeypatch.setattr(writer, "_exchange", lambda *_: False)
    (tmp_path / "made").mkdir()
    old = contents(tiny_bundle(tmp_path / "made" / "old"))
    new = contents(tiny_bundle(tmp_path / "made" / "new", seed=1))
    parent = tmp_path / "models"
    place = parent / "bundle"

    def prepare() -> None:
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir()
        shutil.copytree(tmp_path / "made" / "old", place)

    failed = 0
    for told, act in every_fault(parent, prepare, lambda: tiny_bundle(place, seed=1), thorough=thorough):
        error = tried(act)
        assert error is None or isinstance(error, OutputError), told
        failed += error is not None
        with reparam.load(place, device="cpu", threads=1):  # repairs what two renames may have left
            assert contents(place) == (new if error is None else old), told
        assert visible(parent) == {"bundle"}, told
        tiny_bundle(place, seed=1)
        assert contents(place) == new, told
        assert [path.name for path in parent.iterdir()] == ["bundle"], told
    assert failed > 25


def test_a_load_is_a_model_or_one_line_whatever_call_fails(tmp_path: Path) -> None:
    place = tiny_bundle(tmp_path / "bundle")
    before = contents(place)

    def act() -> None:
        reparam.load(place, device="cpu", threads=1).close()

    failed = 0
    for told, disturbed in every_fault(tmp_path, lambda: None, act):
        error = tried(disturbed)
        assert error is None or isinstance(error, BundleError), told
        failed += error is not None
        assert contents(place) == before, told
    assert failed > 10


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """No file may become larger, as after ulimit -f."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_a_limit_on_the_size_of_files_leaves_the_old_bundle(tmp_path: Path, size: int) -> None:
    place = tiny_bundle(tmp_path / "bundle")
    old = contents(tmp_path)
    with (
        limited(size),
        pytest.raises(OutputError, match=r"bundle: cannot be written \(File too large\); raise the limit"),
    ):
        tiny_bundle(place, seed=1)
    assert contents(tmp_path) == old


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path / "disk")]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    yield tmp_path / "disk"
    subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_a_disk_that_is_really_full_is_foreseen_and_survived(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match=r"bundle: [\d,]+ bytes are needed and the disk has [\d,]+ bytes free; free"):
        tiny_bundle(small_disk / "bundle")
    monkeypatch.setattr(room, "SPARE", -(2**40))  # from here on nothing is foreseen
    old = contents(tiny_bundle(small_disk / "bundle"))
    write_bytes(small_disk / "filler", bytes(150_000))
    full = r"cannot be written \(No space left on device\); free space or choose another disk"
    with pytest.raises(OutputError, match=rf"bundle: {full}$"):
        tiny_bundle(small_disk / "bundle", input_shape=(1, 64, 64))
    with pytest.raises(OutputError, match=rf"filler: {full}$"):
        write_bytes(small_disk / "filler", bytes(100_000))
    assert contents(small_disk / "bundle") == old
    assert (small_disk / "filler").read_bytes() == bytes(150_000)
    x = tmp_path / "x.npy"
    np.save(x, np.zeros((20_000, 1, 8, 8), np.float32))
    out = small_disk / "z.npy"
    words = ["sample", str(small_disk / "bundle"), str(x), "--seed", "7", "--out", str(out), "--device", "cpu"]
    ended = command(*words)
    assert ended.code == 5
    assert ended.err.startswith(f"error: {out}.part: cannot be written (No space left on device); free space or")
    (small_disk / "filler").unlink()
    assert command(*words, "--resume").code == 0
    assert sorted(path.name for path in small_disk.iterdir()) == ["bundle", "z.npy"]


JOBS = {
    "encode": "encode BUNDLE AT/x.npy --logvar AT/out.npy",
    "sample": "sample BUNDLE AT/x.npy --eps AT/eps.npy --out AT/out.npy",
    "generate": "generate BUNDLE 5 --seed 7 --out AT/out.npy",
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "thorough"), [("sample", False), *(pytest.param(name, True, marks=pytest.mark.slow) for name in JOBS)]
)
def test_a_result_is_the_old_or_the_new_whatever_call_of_a_command_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, thorough: bool
) -> None:
    monkeypatch.setattr("reparam.jobs.work.SYNC_SECONDS", 0.0)  # every batch is brought to the disk
    bundle, at = tiny_bundle(tmp_path / "bundle"), tmp_path / "work"
    inputs = {"x.npy": np.random.default_rng(7).random((5, 1, 8, 8), np.float32), "eps.npy": np.ones((5, 2), "f4")}
    words = [word.replace("AT/", f"{at}/").replace("BUNDLE", str(bundle)) for word in JOBS[name].split()]
    words += ["--device", "cpu", "--threads", "1", "--max-batch", "2"]

    def prepare() -> None:
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir()
        for file, array in inputs.items():
            np.save(at / file, array)
        (at / "out.npy").write_bytes(b"old")

    def act() -> Ended:
        return command(*words)

    prepare()
    assert act().code == 0
    wanted = contents(at)
    failed = 0
    for told, disturbed in every_fault(at, prepare, act, thorough=thorough):
        ended = disturbed()
        found = contents(at)
        if ended.code:
            failed += 1
            assert (ended.err.count("\n"), ended.out) == (1, ""), (told, ended)
            assert ended.err.startswith("error: "), (told, ended)
            assert ended.code in (4, 5), (told, ended)
            assert found["out.npy"] == b"old", (told, ended)
            parts = {"out.npy.part", "out.npy.part.json", "out.npy.part.json.new"}
            assert set(found) - set(wanted) <= parts, (told, ended)
        else:
            assert found["out.npy"] == wanted["out.npy"], told
        again = command(*words, "--resume")
        assert again.code == 0, (told, again)
        assert contents(at) == wanted, told
    assert failed > 40
