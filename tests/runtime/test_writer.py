"""A bundle is published in one step: the old one or the new one, and nothing that is not a bundle is ever lost."""

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.bundle import writer
from reparam.bundle.writer import publish
from reparam.errors import OutputError, ReparamError
from reparam.files.leftovers import in_the_making

Maker = Callable[..., Path]
Files = dict[str, bytes]


def contents(folder: Path) -> Files:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def old(tiny: Maker, tmp_path: Path) -> Files:
    return contents(tiny(tmp_path / "made", name="old"))


@pytest.fixture
def new(tiny: Maker, onnx: Any, tmp_path: Path) -> Files:
    """The other sign in both graphs, so that x comes back as it went in, unless old and new are mixed."""
    nodes = onnx.node("Neg", "x", "mean"), onnx.node("Sub", "x x", "logvar"), onnx.node("Add", "mean eps", "z")
    decoder = onnx.decoder(onnx.node("Neg", "z", "x_hat"))
    return contents(tiny(tmp_path / "made", encoder=onnx.encoder(*nodes), decoder=decoder, name="new"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where to publish: a name in a folder of its own, to see what else is left there."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "bundle"


@pytest.fixture(params=["in one step", "by two renames"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by two renames":
        monkeypatch.setattr(writer, "_exchange", lambda *_: False)
    return str(request.param)


def name_at(place: Path) -> str:
    """Whose bundle lies there; a mixture of two would change the sign of what comes back."""
    with reparam.load(place, device="cpu", threads=1) as vae:
        x = np.ones((1, 2), np.float32)
        np.testing.assert_array_equal(vae.reconstruct(x), x)
        return vae.manifest.name


@pytest.mark.usefixtures("either_way")
def test_a_bundle_is_published_and_replaced_and_nothing_else_is_left(place: Path, old: Files, new: Files) -> None:
    for files, name in ((old, "old"), (new, "new"), (old, "old")):
        publish(place, files)
        assert name_at(place) == name
        assert contents(place) == files
        assert os.listdir(place.parent) == ["bundle"]  # noqa: PTH208  names alone


def test_the_folder_gets_the_usual_rights(place: Path, old: Files) -> None:
    before = os.umask(0o027)
    try:
        publish(place, old)
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o750


def test_an_empty_folder_may_become_a_bundle(place: Path, old: Files) -> None:
    place.mkdir()
    publish(place, old)
    assert name_at(place) == "old"


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_leaves_the_old_bundle_and_no_stray(
    place: Path, old: Files, new: Files, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    publish(place, old)
    for calls_before in range(len(new) + 1):
        left = [calls_before]

        def failing(_: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing)
            with pytest.raises(OutputError, match=f"bundle: cannot be written .{os.strerror(code)}.; ") as caught:
                publish(place, new)
        assert isinstance(caught.value, OSError)
        assert name_at(place) == "old"
        assert contents(place) == old
        assert [entry.name for entry in place.parent.iterdir()] == ["bundle"]


def test_a_second_rename_that_fails_puts_the_old_bundle_back(
    place: Path, old: Files, new: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(place, old)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(writer, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match=r"bundle: cannot be written \(Permission denied\); choose a folder"):
        publish(place, new)
    assert contents(place) == old
    assert [entry.name for entry in place.parent.iterdir()] == ["bundle"]


KILLED_BETWEEN = """
import os, pathlib, sys
from reparam.bundle import writer
writer._exchange = lambda *_: False
rename = pathlib.Path.rename
def killed(self, target):
    if self.name.endswith(".part"):
        os._exit(9)
    return rename(self, target)
pathlib.Path.rename = killed
made, place = map(pathlib.Path, sys.argv[1:])
writer.publish(place, {file.name: file.read_bytes() for file in made.iterdir()})
"""


def test_a_crash_between_two_renames_is_repaired_by_the_next_load(
    place: Path, old: Files, new: Files, tmp_path: Path, fresh: Callable[..., Any]
) -> None:
    publish(place, old)
    assert contents(tmp_path / "made") == new
    assert fresh(KILLED_BETWEEN, tmp_path / "made", place).code == 9
    assert not place.exists()
    assert name_at(place) == "old"
    assert contents(place) == old


def test_a_crash_between_two_renames_is_repaired_by_the_next_export(
    place: Path, old: Files, new: Files, tmp_path: Path, fresh: Callable[..., Any]
) -> None:
    publish(place, old)
    assert fresh(KILLED_BETWEEN, tmp_path / "made", place).code == 9
    publish(place, new)
    assert name_at(place) == "new"
    assert [entry.name for entry in place.parent.iterdir()] == ["bundle"]


@pytest.mark.usefixtures("either_way")
def test_what_killed_exports_left_behind_is_swept(place: Path, old: Files, new: Files) -> None:
    publish(place, old)
    for leftover in (".bundle.abc123.part", ".bundle.previous"):
        (place.parent / leftover).mkdir()
        (place.parent / leftover / "encoder.onnx").write_bytes(b"half")
    (place.parent / ".other.abc123.part").mkdir()  # another bundle's export may be under way
    publish(place, new)
    assert sorted(entry.name for entry in place.parent.iterdir()) == [".other.abc123.part", "bundle"]


def test_an_export_leaves_alone_what_another_of_the_same_name_has_under_way(
    place: Path, old: Files, new: Files
) -> None:
    publish(place, old)
    begun = place.parent / ".bundle.abc123.part"
    begun.mkdir()
    with in_the_making(begun):
        publish(place, new)
        assert sorted(entry.name for entry in place.parent.iterdir()) == [begun.name, "bundle"]
    publish(place, old)
    assert [entry.name for entry in place.parent.iterdir()] == ["bundle"]


def test_a_bundle_that_was_removed_stays_removed(place: Path, old: Files, new: Files) -> None:
    publish(place, old)
    (place.parent / ".bundle.previous").mkdir()  # an old leftover, from before this bundle
    publish(place, new)
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    with pytest.raises(FileNotFoundError, match=r"no such folder|missing"):
        reparam.load(place, device="cpu")
    assert not place.exists()


@pytest.mark.parametrize("foreign", ["notes.txt", ".git", "weights.bin"])
def test_a_folder_that_holds_anything_else_is_refused(place: Path, old: Files, new: Files, foreign: str) -> None:
    publish(place, old)
    (place / foreign).write_text("mine")
    with pytest.raises(OutputError, match=f"bundle: holds {foreign}, which is no part of a bundle; move it away"):
        publish(place, new)
    assert contents(place) == old | {foreign: b"mine"}


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "mine"},
        {"model.onnx": "mine"},
        {"manifest.json": '{"manifest_version": 3}', "README.md": "of a browser's extension"},
        {"manifest.json": '{"start_url": "/"}', "preview.png": "of a web site", "data.npz": "mine"},
    ],
    ids=lambda files: next(iter(files)),
)
def test_a_folder_that_is_no_bundle_is_refused(place: Path, new: Files, files: dict[str, str]) -> None:
    place.mkdir()
    for name, text in files.items():
        (place / name).write_text(text)
    with pytest.raises(OutputError, match="bundle: "):
        publish(place, new)
    assert {name: data.decode() for name, data in contents(place).items()} == files


def test_a_folder_inside_a_bundle_is_never_lost(place: Path, old: Files, new: Files) -> None:
    publish(place, old)
    (place / "mine.onnx").mkdir()
    (place / "mine.onnx" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"bundle: holds mine\.onnx"):
        publish(place, new)
    assert (place / "mine.onnx" / "thesis.txt").read_text() == "mine"


def test_a_file_or_a_link_is_refused(place: Path, tmp_path: Path, old: Files) -> None:
    place.write_text("mine")
    with pytest.raises(OutputError, match="bundle: exists and is no folder; choose another place"):
        publish(place, old)
    assert place.read_text() == "mine"
    place.unlink()
    for goal in (tmp_path / "made", tmp_path / "nowhere"):
        place.symlink_to(goal, target_is_directory=True)
        with pytest.raises(OutputError, match="bundle: exists and is no folder; choose another place"):
            publish(place, old)
        assert place.is_symlink()
        place.unlink()


def test_a_missing_parent_is_named(tmp_path: Path, old: Files) -> None:
    with pytest.raises(OutputError, match="nowhere: no such folder; make it first"):
        publish(tmp_path / "nowhere" / "bundle", old)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("path", [".", "", "n" * 250, "n" * 300, "n" * 300 + "/bundle", "a\0b", "file/bundle"])
def test_a_place_that_cannot_be_is_refused_with_one_of_our_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: Files, path: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    Path("file").write_text("mine")
    if path in (".", ""):
        Path("file").unlink()
    with pytest.raises(ReparamError):
        publish(Path(path), old)
    assert [entry.name for entry in Path().iterdir()] in ([], ["file"])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere by two renames, whose window is documented")
def test_a_reader_beside_a_writer_sees_the_old_bundle_or_the_new(place: Path, old: Files, new: Files) -> None:
    publish(place, old)
    seen: list[str] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set() and not failures:
            try:
                seen.append(name_at(place))
            except BaseException as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        publish(place, (new, old)[number % 2])
    stop.set()
    reader.join()
    assert failures == []
    assert {"old", "new"} >= set(seen) != set()


def test_a_load_in_the_window_of_two_renames_gets_a_bundle_and_does_not_disturb_the_export(
    place: Path, old: Files, new: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(place, old)
    rename, seen = Path.rename, []

    def watched(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if not place.exists() and not seen:
            seen.append("")
            seen[0] = name_at(place)
        return moved

    monkeypatch.setattr(writer, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", watched)
    publish(place, new)
    assert seen in (["old"], ["new"])
    assert name_at(place) == "new"
