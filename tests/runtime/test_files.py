"""Files that come in are checked, files that go out are there whole or not at all, and thread limits are read right."""

import errno
import os
import shutil
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reparam.engine.threads import affinity, available_threads, cgroup_quota, threads_each
from reparam.errors import InputError, InputNotFound, OutputError, ReparamError
from reparam.files import npy
from reparam.files.atomic import atomic_file, write_bytes

HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


def raw(header: bytes, data: bytes = b"", version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


# -- .npy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8", "<i4", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (4, 0), (2, 3, 4)])
def test_an_array_comes_back_as_it_was_written(
    tmp_path: Path, shape: tuple[int, ...], order: Any, *, dtype: str
) -> None:
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape), dtype=dtype, order=order)
    npy.write(tmp_path / "a.npy", array)
    found = npy.read(tmp_path / "a.npy")
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(50,), (50, 3), (50, 2, 3, 4), (50, 0)])
@given(data=st.data())
def test_any_rows_of_a_file_are_those_of_its_array(
    scratch: Callable[[], Path], order: Any, data: Any, *, shape: tuple[int, ...]
) -> None:
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape), ">f8", order=order)
    place = scratch() / "a.npy"
    npy.write(place, array)
    start, stop = data.draw(st.integers(-60, 60)), data.draw(st.integers(-60, 60))
    rows = np.array(data.draw(st.lists(st.integers(0, 49), max_size=8)), int)
    with npy.read(place) as found:
        assert (len(found), found.ndim, found.nbytes) == (50, array.ndim, array.nbytes)
        np.testing.assert_array_equal(found[start:stop], array[start:stop])
        np.testing.assert_array_equal(found.take(rows), array[rows])
        assert found[start:stop].flags.owndata
        assert found.stand_in().shape == shape


@pytest.mark.parametrize("header", ["{{},},", "{[]: 1}", "{'descr', {}}", "{**{}}", "1 +", "f'{1}'"])
def test_a_header_that_is_no_plain_dictionary_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "x.npy").write_bytes(raw(header.encode()))
    with pytest.raises(InputError, match=r"x\.npy: .*its header is no plain dictionary"):
        npy.read(tmp_path / "x.npy")


@pytest.mark.parametrize("shape", [(0, 2**40), (0, 2**20, 2**20), (2**40, 0)])
def test_a_header_that_promises_many_columns_of_nothing_costs_nothing(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}\n"
    (tmp_path / "x.npy").write_bytes(raw(header.encode()))
    assert np.asarray(npy.read(tmp_path / "x.npy")).shape == shape


def test_sizes_that_no_array_has_are_refused_though_they_hold_nothing(tmp_path: Path) -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 1111111111111, 111111111), }\n"
    (tmp_path / "x.npy").write_bytes(raw(header.encode()))
    with pytest.raises(InputError, match=r"its sizes must multiply to less than 2\^56, got \(0, 1111111111111"):
        npy.read(tmp_path / "x.npy")


def test_an_array_in_a_file_says_what_it_cannot_do(tmp_path: Path) -> None:
    npy.write(tmp_path / "a.npy", np.zeros((10, 2), np.float32))
    found = npy.read(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="a slice has no step, got 2; use take"):
        found[::2]
    with pytest.raises(ValueError, match="cannot be had without a copy"):
        found.__array__(copy=False)
    found.close()
    with pytest.raises(InputError, match=r"a\.npy: row 3 cannot be read \(Bad file descriptor\); check the disk"):
        found[3:5]


@pytest.mark.parametrize(("order", "row"), [("C", 5), ("F", 0)])
def test_a_file_that_is_cut_short_is_told_by_its_first_missing_row(tmp_path: Path, order: Any, row: int) -> None:
    npy.write(tmp_path / "a.npy", np.asarray(np.ones((10, 4)), "<f4", order=order))
    found = npy.read(tmp_path / "a.npy")
    os.truncate(tmp_path / "a.npy", 128 + 5 * 16 + 3)
    with pytest.raises(InputError, match=f"a.npy: was cut short while it was read, row {row} is missing; copy the"):
        np.asarray(found)
    if order == "C":
        assert found[:5].sum() == 20


def test_children_and_threads_read_one_file_beside_each_other(tmp_path: Path) -> None:
    array = np.arange(100_000, dtype=np.int64).reshape(-1, 10)
    npy.write(tmp_path / "a.npy", array)
    found = npy.read(tmp_path / "a.npy")

    def mismatches(seed: int) -> int:
        starts = np.random.default_rng(seed).integers(0, 9990, 500)
        return sum(not np.array_equal(found[start : start + 10], array[start : start + 10]) for start in starts)

    child = os.fork()
    if not child:
        os._exit(mismatches(0) > 0)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(mismatches, range(1, 5))) == [0] * 4
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_descriptor_outlives_the_array(tmp_path: Path) -> None:
    npy.write(tmp_path / "a.npy", np.zeros(3))
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    for _ in range(3):
        npy.read(tmp_path / "a.npy")
    assert os.open(os.devnull, os.O_RDONLY) == free
    os.close(free)


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"a\.npy: not a readable .npy file \(not a regular file\); write it with"):
        npy.read(tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"null: not a readable .npy file \(not a regular file\)"):
        npy.read(Path(os.devnull))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"\x93NUM",
        b"\x93NUMPY\x01\x00",
        b"PK\x03\x04 nearly a zip",
        raw(b"((((("),
        raw(b"{'descr': '<f4',"),
        raw(HEADER.encode(), bytes(23)),
        raw(HEADER.encode(), bytes(24), version=9),
        raw(HEADER.replace("(2, 3)", "(-2, 3)").encode(), bytes(24)),
        raw(HEADER.replace("(2, 3)", "(-2, -3)").encode(), bytes(24)),
        raw(HEADER.replace("(2, 3)", "(99999999999, 3)").encode(), bytes(24)),
        raw(HEADER.replace("2", "9" * 40).encode(), bytes(24)),
        raw(HEADER.replace("<f4", "|O").encode(), bytes(48)),
        raw(HEADER.replace("<f4", "bogus").encode(), bytes(24)),
        raw(HEADER.replace("2, 3", "1, " * 70).encode(), bytes(24)),
        raw(b"(" * 5000 + b")" * 5000),
        raw(b"\xff\xfe", version=3),
    ],
    ids=lambda data: f"{len(data)} bytes {data[10:40]!r}",
)
def test_a_file_that_is_no_array_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.npy: .*; (write it with numpy\.save|copy the file again)$") as caught:
        npy.read(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


def test_an_archive_is_told_from_an_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=np.zeros(3), two=np.zeros(3))
    with pytest.raises(InputError, match=r"a\.npz: "):
        npy.read(tmp_path / "a.npz")


def test_a_place_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"nothing\.npy: no such file; give a \.npy file") as caught:
        npy.read(tmp_path / "nothing.npy")
    assert isinstance(caught.value, FileNotFoundError)
    for place in (tmp_path, tmp_path / "a\0b", tmp_path / ("n" * 300)):
        with pytest.raises(InputError):
            npy.read(place)


@given(st.data())
def test_no_header_raises_anything_but_an_input_error(scratch: Callable[[], Path], data: Any) -> None:
    whole = bytearray(raw(HEADER.encode(), bytes(24)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(whole)))
        stop = data.draw(st.integers(start, min(len(whole), start + 4)))
        whole[start:stop] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"(", b"'", b"9" * 30, b"[", b"-", b"L"])
        )
    place = scratch() / "a.npy"
    place.write_bytes(whole)
    try:
        message = str(npy.read(place).shape)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


# -- atomic writes ---------------------------------------------------------------------------------------------------


def interrupted(place: Path, error: BaseException) -> None:
    with atomic_file(place) as file:
        file.write(b"half")
        file.flush()
        raise error


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("error", [KeyError(1), ValueError("mine"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_an_interrupted_write_leaves_the_old_file_and_no_trace(
    tmp_path: Path, before: bytes | None, error: BaseException
) -> None:
    place = tmp_path / "a.bin"
    if before is not None:
        place.write_bytes(before)
    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        interrupted(place, error)
    left = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert left == ({} if before is None else {"a.bin": before})


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_bytes(tmp_path / "a.bin", b"old")
    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), failing)
    with pytest.raises(OutputError, match=r"a\.bin: cannot be written \(No space left on device\); free space or") as e:
        write_bytes(tmp_path / "a.bin", b"new")
    assert isinstance(e.value, OSError)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.bin": b"old"}


def test_a_write_replaces_the_whole_file_with_the_usual_rights(tmp_path: Path) -> None:
    place, before = tmp_path / "a.bin", os.umask(0o027)
    try:
        for data in (b"longer than the second", b"short"):
            write_bytes(place, data)
            assert place.read_bytes() == data
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.bin: cannot be written \(No such file or directory\); make the folder"):
        write_bytes(tmp_path / "nowhere" / "a.bin", b"new")
    with pytest.raises(OutputError, match=f"^{tmp_path}: "):
        write_bytes(tmp_path, b"new")
    for place in (tmp_path / "a\0b", Path(), tmp_path / ("n" * 300)):
        with pytest.raises(ReparamError):
            write_bytes(place, b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("n" * 255), b"new")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"new"


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # as /dev/null would be, for root
    with pytest.raises(OutputError, match="fifo: "):
        write_bytes(tmp_path / "fifo", b"new")
    assert (tmp_path / "fifo").is_fifo()


def test_an_error_of_ours_inside_the_block_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"^the input$"):
        interrupted(tmp_path / "a.bin", InputNotFound("the input"))


KILLED = """
import os, sys
from pathlib import Path
from reparam.files.atomic import atomic_file
with atomic_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_write_left_is_swept_by_the_next_of_the_same_file(
    tmp_path: Path, fresh: Callable[..., Any]
) -> None:
    for name in ("a.bin", "other.bin"):
        assert fresh(KILLED, tmp_path / name).code == -9
    assert len(list(tmp_path.iterdir())) == 2
    write_bytes(tmp_path / "a.bin", b"new")
    (left,) = {path.name for path in tmp_path.iterdir()} - {"a.bin"}
    assert left.startswith(".reparam.")  # the other file's
    write_bytes(tmp_path / "other.bin", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "other.bin"]


def test_what_another_write_has_under_way_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "a.bin"
    with atomic_file(place) as slow:
        slow.write(b"slow")
        write_bytes(place, b"quick")
        assert place.read_bytes() == b"quick"
    assert place.read_bytes() == b"slow"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_too_little_room_is_found_before_a_byte_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3 * 2**20))
    npy.write(tmp_path / "a.npy", np.zeros(2**21, np.uint8))
    with pytest.raises(OutputError, match=r"b\.npy: 2\.1 MB are needed and the disk has 3\.1 MB free; free space or"):
        npy.write(tmp_path / "b.npy", np.zeros(2**21 + 1, np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


# -- threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "1000 100000"}, 0.01),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "50000\n"}, None),
        ({"cpu.max": "400000 100000", "cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1"}, 4.0),
        ({"cpu.max": "", "cpu/cpu.cfs_quota_us": "3", "cpu/cpu.cfs_period_us": "1"}, 3.0),
        ({"cpu.max": "\u00b2 1"}, None),
        ({"cpu.max": "many 100000"}, None),
        ({"cpu.max": "100000 0"}, None),
    ],
)
def test_the_control_groups_quota_is_read_as_it_is_written(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup_quota(tmp_path) == quota


@pytest.mark.parametrize(
    ("quota", "cores", "threads"),
    [(None, 8, 8), (2.0, 8, 2), (1.5, 8, 2), (2.01, 8, 3), (16.0, 8, 8), (0.01, 8, 1), (0.0, 8, 1), (None, 1, 1)],
)
def test_threads_are_the_smaller_of_affinity_and_quota_rounded_up(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int, threads: int
) -> None:
    monkeypatch.setattr("reparam.engine.threads.cgroup_quota", lambda: quota)
    monkeypatch.setattr("reparam.engine.threads.affinity", lambda: cores)
    assert available_threads() == threads


@pytest.mark.parametrize(("available", "processes", "threads"), [(8, 1, 8), (8, 3, 2), (8, 8, 1), (8, 20, 1)])
def test_processes_share_the_threads_that_one_would_have(
    monkeypatch: pytest.MonkeyPatch, available: int, processes: int, threads: int
) -> None:
    monkeypatch.setattr("reparam.engine.threads.cgroup_quota", lambda: None)
    monkeypatch.setattr("reparam.engine.threads.affinity", lambda: available)
    assert threads_each(processes) == threads


def test_affinity_counts_the_processors_this_process_may_use() -> None:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert affinity() == allowed


def test_a_limit_of_the_processs_own_group_or_of_any_above_it_holds(tmp_path: Path) -> None:
    own = tmp_path / "system.slice" / "app.service"
    own.mkdir(parents=True)
    (own / "cpu.max").write_text("300000 100000\n")
    assert cgroup_quota(tmp_path, "/system.slice/app.service") == 3.0
    (own.parent / "cpu.max").write_text("100000 100000\n")
    assert cgroup_quota(tmp_path, "/system.slice/app.service") == 1.0
    assert cgroup_quota(tmp_path, "/") is None
