"""Commands over files: the same bytes whatever the workers, stops and resumes; nothing half-written is a result."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reparam
from reparam.errors import InputError
from reparam.jobs import work
from reparam.jobs.job import Job
from reparam.jobs.run import run_job

Cli = Callable[..., Any]
Rows = Callable[[int], Any]
USAGE, BUNDLE, INPUT, ENVIRONMENT = 2, 3, 4, 5
ROWS = 200
CPU = ("--device", "cpu", "--threads", 1, "--max-batch", 7)


@pytest.fixture
def folder(tmp_path: Path, vae: reparam.VAE, rows_of: Rows, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with rows x, latents z and noise eps in it."""
    shape = vae.manifest.latent.shape
    np.save(tmp_path / "x.npy", rows_of(ROWS))
    np.save(tmp_path / "z.npy", reparam.noise("normal", 5, range(ROWS), shape))
    np.save(tmp_path / "eps.npy", reparam.noise("normal", 6, range(ROWS), shape))
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = {
    "encode": "encode BUNDLE x.npy --mean one.npy --logvar two.npy",
    "encode logvar": "encode BUNDLE x.npy --logvar two.npy",
    "sample": "sample BUNDLE x.npy --seed 7 --first-row 3 --out one.npy",
    "sample eps": "sample BUNDLE x.npy --eps eps.npy --out one.npy",
    "decode": "decode BUNDLE z.npy --out one.npy",
    "reconstruct": "reconstruct BUNDLE x.npy --out one.npy",
    "generate": f"generate BUNDLE {ROWS} --seed 7 --out one.npy",
}


def words(command: str, bundle: Path) -> list[str]:
    return [str(bundle) if word == "BUNDLE" else word for word in command.split()]


def results(folder: Path) -> dict[str, bytes]:
    """Every file but the inputs."""
    names = {"x.npy", "z.npy", "eps.npy"}
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.name not in names}


def done(ended: Any) -> Any:
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def failed(ended: Any, code: int, message: str) -> None:
    assert ended.err.startswith("error: "), ended.err
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert (ended.code, ended.out) == (code, "")


@contextlib.contextmanager
def full_disk(after: int) -> Iterator[None]:
    """The disk is full from the so-manieth time on that something is brought to it."""
    calls, real = [0], os.fsync

    def fsync(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(work, "SYNC_SECONDS", 0.0)
        yield


def stopped(cli: Cli, command: list[str], after: int = 12) -> None:
    """A run that a full disk ends with some rows done."""
    with full_disk(after):
        ended = cli(*command, *CPU)
    failed(ended, ENVIRONMENT, f" of {ROWS} rows are kept, and --resume goes on from them")
    assert "cannot be written (No space left on device)" in ended.err


# -- the same bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_stopped_run_leaves_no_result_and_resumed_it_ends_with_the_same_bytes(
    cli: Cli, bundle: Path, folder: Path, name: str
) -> None:
    command = words(COMMANDS[name], bundle)
    done(cli(*command, *CPU, "--json"))
    wanted = results(folder)
    for file in wanted:
        (folder / file).unlink()
    stopped(cli, command)
    assert set(results(folder)) == {f"{file}.part" for file in wanted} | {f"{min(wanted)}.part.json"}
    document = done(cli(*command, *CPU, "--json", "--resume"))
    assert 0 < document["rows_resumed_from"] < ROWS
    assert document["rows"] == ROWS
    assert results(folder) == wanted


def test_a_run_may_be_stopped_as_often_as_the_disk_is_full(cli: Cli, bundle: Path, folder: Path) -> None:
    command = words(COMMANDS["encode"], bundle)
    done(cli(*command, *CPU, "--json"))
    wanted = results(folder)
    stopped(cli, command)
    resumed = []
    for _ in range(20):
        with full_disk(9):
            ended = cli(*command, *CPU, "--json", "--resume")
        if ended.code == 0:
            resumed.append(json.loads(ended.out)["rows_resumed_from"])
            break
        failed(ended, ENVIRONMENT, "rows are kept")
    assert resumed
    assert results(folder) == wanted


def test_files_that_numpy_writes_are_those_of_the_commands(
    cli: Cli, bundle: Path, vae: reparam.VAE, folder: Path, rows_of: Rows
) -> None:
    done(cli(*words(COMMANDS["encode"], bundle), *CPU, "--json"))
    np.save("wanted.npy", vae.encode(rows_of(ROWS)).mean)
    assert (folder / "one.npy").read_bytes() == (folder / "wanted.npy").read_bytes()
    before = os.umask(0o027)
    try:
        done(cli(*words(COMMANDS["decode"], bundle), *CPU, "--json"))
    finally:
        os.umask(before)
    assert (folder / "one.npy").stat().st_mode & 0o777 == 0o640


@pytest.mark.timeout(600)
@settings(max_examples=4)
@given(
    name=st.sampled_from(["encode", "sample", "decode", "sample eps", "generate"]),
    rows=st.integers(1, 1000),
    max_batch=st.sampled_from([1, 16, 100]),
    workers=st.integers(2, 3),
)
def test_workers_write_the_bytes_of_one_process(
    bundle: Path, scratch: Callable[[], Path], rows_of: Rows, *, name: str, rows: int, max_batch: int, workers: int
) -> None:
    folder = scratch()
    shape = reparam.load(bundle, device="cpu").manifest.latent.shape
    inputs = {"x": rows_of(rows), **{key: reparam.noise("normal", 5, range(rows), shape) for key in ("z", "eps")}}
    for key, array in inputs.items():
        np.save(folder / f"{key}.npy", array)
    op: Any = name.split(maxsplit=1)[0]
    outs = {"encode": ("mean", "logvar"), "sample": ("z",)}.get(op, ("x_hat",))
    job = {
        "encode": {"source": folder / "x.npy"},
        "sample": {"source": folder / "x.npy", "seed": 7, "first_row": 3},
        "sample eps": {"source": folder / "x.npy", "eps": folder / "eps.npy"},
        "decode": {"source": folder / "z.npy"},
        "generate": {"rows": rows, "seed": 7},
    }[name]
    found = []
    for count in (1, workers):
        places = {out: folder / f"{count}-{out}.npy" for out in outs}
        run(Job(op=op, bundle=bundle, outs=places, device="cpu", max_batch=max_batch, workers=count, **job))  # type: ignore[arg-type]
        found.append([place.read_bytes() for place in places.values()])
    assert found[0] == found[1]


def run(job: Job, *, during: Callable[[], object] = lambda: None) -> None:
    @contextlib.contextmanager
    def progress(*_: object) -> Iterator[Callable[[int], None]]:
        yield lambda _: None
        during()

    run_job(job, resume=False, progress=progress, note=pytest.fail)


def test_workers_tell_the_row_of_a_bad_value_in_the_whole_file(
    cli: Cli, bundle: Path, folder: Path, rows_of: Rows
) -> None:
    bad = rows_of(ROWS)
    bad[150] = np.nan
    np.save("x.npy", bad)
    ended = cli(*words(COMMANDS["encode"], bundle), "--device", "cpu", "--max-batch", 7, "--workers", 2)
    failed(ended, INPUT, "x: must be finite, got nan at row 150, column")
    assert results(folder) == {}


def test_a_stopped_run_may_go_on_with_other_workers_and_threads(cli: Cli, bundle: Path, folder: Path) -> None:
    command = words(COMMANDS["sample"], bundle)
    done(cli(*command, *CPU, "--json"))
    wanted = results(folder)
    stopped(cli, command)
    options = ["--device", "cpu", "--threads", 2, "--workers", 3, "--max-batch", 7]
    assert done(cli(*command, *options, "--json", "--resume"))["rows_resumed_from"] > 0
    assert results(folder) == wanted


# -- what a resume refuses -------------------------------------------------------------------------------------------


def touched(folder: Path, name: str) -> None:
    """The same content at another time."""
    facts = (folder / name).stat()
    os.utime(folder / name, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))


def edited(folder: Path, name: str) -> None:
    """Other content, of the same size and time."""
    facts = (folder / name).stat()
    array = np.load(folder / name)
    array[ROWS // 2] += 0.25
    np.save(folder / name, array)
    os.utime(folder / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize(
    ("begun", "asked", "message"),
    [
        ("sample", "sample BUNDLE x.npy --seed 8 --first-row 3 --out one.npy", "another seed (7, now 8)"),
        ("sample", "sample BUNDLE x.npy --seed 7 --out one.npy", "another first row (3, now 0)"),
        ("sample", "sample BUNDLE x.npy --eps eps.npy --out one.npy", "another size in bytes of eps (none, now "),
        ("sample", "reconstruct BUNDLE x.npy --seed 7 --first-row 3 --out one.npy", "another command (sample, now "),
        ("sample", COMMANDS["sample"] + " --max-batch 8", "another --max-batch (7, now 8)"),
        ("encode", "encode BUNDLE x.npy --mean one.npy", "another choice of results (mean, logvar, now mean)"),
        ("encode", "encode BUNDLE x.npy --mean one.npy --logvar three.npy", "another place of result 2 (two.npy, now"),
        ("generate", "generate BUNDLE 199 --seed 7 --out one.npy", "another number of rows (200, now 199)"),
        ("decode", "decode BUNDLE eps.npy --out one.npy", "of z ("),
    ],
)
def test_a_resume_of_something_else_is_refused_by_name(
    cli: Cli, bundle: Path, folder: Path, begun: str, asked: str, *, message: str
) -> None:
    stopped(cli, words(COMMANDS[begun], bundle))
    before = results(folder)
    command = words(asked, bundle)
    ended = cli(command[0], *CPU, *command[1:], "--resume")
    failed(ended, USAGE, message)
    assert ended.err.startswith("error: --resume: one.npy.part was begun with another ")
    assert results(folder) == before


def test_a_resume_with_another_input_or_bundle_is_refused(
    cli: Cli, folder: Path, copied: Path, rehash: Callable[..., Path]
) -> None:
    command = ["sample", "digits", "x.npy", "--eps", "eps.npy", "--out", "one.npy"]
    assert copied.parent == folder
    for change, message in (
        (lambda: touched(folder, "x.npy"), "another time of modification of x ("),
        (lambda: touched(folder, "eps.npy"), "another time of modification of eps ("),
        (lambda: edited(folder, "x.npy"), "another sha256 of samples of x ("),
        (lambda: edited(folder, "eps.npy"), "another sha256 of samples of eps ("),
        (lambda: rehash(copied, name="other"), "another bundle (sha256 of its manifest) ("),
    ):
        stopped(cli, command)
        before = results(folder)
        change()
        failed(cli(*command, *CPU, "--resume"), USAGE, f"--resume: one.npy.part was begun with {message}")
        assert results(folder) == before
        for file in before:
            (folder / file).unlink()


# -- what lies there -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("default")  # main tells them in its own way
def test_without_resume_the_rows_of_an_earlier_run_are_overwritten_with_a_warning(
    cli: Cli, bundle: Path, folder: Path
) -> None:
    stopped(cli, words(COMMANDS["sample"], bundle))
    other = [*words(COMMANDS["sample"], bundle), "--seed", "8"]
    ended = cli(*other, *CPU)
    assert ended.code == 0
    assert ended.err.startswith("warning: one.npy.part: rows of an earlier run, ")
    assert ended.err.count("\n") == 1
    found = results(folder)
    assert set(found) == {"one.npy"}
    done(cli(*other, *CPU, "--json"))
    assert results(folder) == found


@pytest.mark.filterwarnings("default")  # main tells them in its own way
def test_a_resume_of_nothing_begins_at_the_first_row_and_says_so(cli: Cli, bundle: Path, folder: Path) -> None:
    ended = cli(*words(COMMANDS["sample"], bundle), *CPU, "--resume")
    assert ended.code == 0
    assert ended.err == "warning: --resume: nothing was begun at one.npy.part; began at the first row\n"
    assert set(results(folder)) == {"one.npy"}


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_a_file_of_others_at_our_place_is_left_alone(cli: Cli, bundle: Path, folder: Path, more: list[str]) -> None:
    (folder / "one.npy.part").write_text("a download")
    failed(
        cli(*words(COMMANDS["sample"], bundle), *CPU, *more),
        USAGE,
        "one.npy.part: exists, and no journal says what it is; move it away, or remove it",
    )
    (folder / "one.npy.part.json").write_text("{}")
    failed(
        cli(*words(COMMANDS["sample"], bundle), *CPU, *more), USAGE, "one.npy.part.json: is no journal of reparam's ("
    )
    assert results(folder) == {"one.npy.part": b"a download", "one.npy.part.json": b"{}"}


def test_a_damaged_part_or_journal_is_refused(cli: Cli, bundle: Path, folder: Path) -> None:
    command = words(COMMANDS["sample"], bundle)
    stopped(cli, command)
    kept = results(folder)
    journal = json.loads(kept["one.npy.part.json"])
    for name, data, message in (
        ("one.npy.part", kept["one.npy.part"][:-1], "one.npy.part is not the file that its journal tells of"),
        ("one.npy.part", b"?" + kept["one.npy.part"][1:], "one.npy.part is not the file that its journal tells of"),
        ("one.npy.part.json", json.dumps(journal | {"done": [[0, ROWS + 1]]}), "names rows that it does not have"),
        ("one.npy.part.json", json.dumps(journal | {"done": [[5, 3]]}), "names rows that it does not have"),
    ):
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        failed(cli(*command, *CPU, "--resume"), USAGE, message)
        (folder / name).write_bytes(kept[name])
    (folder / "one.npy.part").unlink()
    failed(cli(*command, *CPU, "--resume"), USAGE, "one.npy.part is not the file that its journal tells of")


def test_a_file_that_another_process_writes_is_left_to_it(cli: Cli, bundle: Path, folder: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="there are no such locks here")
    command = words(COMMANDS["sample"], bundle)
    stopped(cli, command)
    before = results(folder)
    with (folder / "one.npy.part").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for more in ([], ["--resume"]):
            failed(cli(*command, *CPU, *more), ENVIRONMENT, "one.npy.part: another process is writing it; wait for it")
    assert results(folder) == before


@pytest.mark.parametrize("name", ["encode", "generate"])
def test_too_little_room_is_found_before_anything_is_written(
    cli: Cli, bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / "one.npy").write_bytes(b"before")
    usage = shutil.disk_usage(folder)
    needed = {"encode": 2 * (128 + ROWS * 32), "generate": 128 + ROWS * 256}[name]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20 + needed - 1))
    ended = cli(*words(COMMANDS[name], bundle), *CPU)
    failed(ended, ENVIRONMENT, ".npy.part: ")
    assert f" {needed:,} bytes are needed and the disk has 1.1 MB free; free space or choose another disk" in ended.err
    assert results(folder) == {"one.npy": b"before"}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20 + needed))
    done(cli(*words(COMMANDS[name], bundle), *CPU, "--json"))


def test_an_input_that_changes_while_it_is_read_gives_no_result(bundle: Path, folder: Path) -> None:
    job = Job(op="encode", bundle=bundle, outs={"mean": Path("one.npy")}, source=Path("x.npy"), device="cpu")
    with pytest.raises(InputError, match=r"^x\.npy: was changed while it was read; run the command again$"):
        run(job, during=lambda: touched(folder, "x.npy"))
    assert results(folder) == {}


def test_a_bad_input_leaves_nothing_to_resume(cli: Cli, bundle: Path, folder: Path, rows_of: Rows) -> None:
    bad = rows_of(ROWS)
    bad[150] = np.nan
    np.save("x.npy", bad)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "SYNC_SECONDS", 0.0)
        failed(cli(*words(COMMANDS["encode"], bundle), *CPU), INPUT, "got nan at row 150")
    assert results(folder) == {}


def test_a_run_stopped_between_its_two_names_gives_the_second_when_it_is_resumed(
    cli: Cli, bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = words(COMMANDS["encode"], bundle)
    done(cli(*command, *CPU, "--json"))
    wanted = results(folder)
    real = Path.replace

    def replace(self: Path, target: Any) -> Path:
        if Path(target).name == "two.npy":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        failed(cli(*command, *CPU), ENVIRONMENT, "two.npy: cannot be written (Input/output error)")
    assert set(results(folder)) == {"one.npy", "one.npy.part.json", "two.npy", "two.npy.part"}
    assert done(cli(*command, *CPU, "--json", "--resume"))["rows_resumed_from"] == ROWS
    assert results(folder) == wanted


def test_an_output_behind_a_link_replaces_what_the_link_names(cli: Cli, bundle: Path, folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "one.npy").symlink_to("real/one.npy")
    stopped(cli, words(COMMANDS["sample"], bundle))
    assert sorted(file.name for file in (folder / "real").iterdir()) == ["one.npy.part", "one.npy.part.json"]
    done(cli(*words(COMMANDS["sample"], bundle), *CPU, "--json", "--resume"))
    assert (folder / "one.npy").is_symlink()
    assert [file.name for file in (folder / "real").iterdir()] == ["one.npy"]


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ("--workers 0", USAGE, "--workers"),
        ("--workers 257", USAGE, "--workers"),
        ("--workers many", USAGE, "--workers"),
        ("--workers 2 --out nowhere/one.npy", ENVIRONMENT, "nowhere/one.npy: cannot be written (No such file"),
        ("--resume yes", USAGE, "yes"),
    ],
)
def test_options_out_of_range_are_refused(
    cli: Cli, bundle: Path, folder: Path, more: str, code: int, *, message: str
) -> None:
    failed(cli(*words(COMMANDS["sample"], bundle), *CPU, *more.split()), code, message)
    assert results(folder) == {}
