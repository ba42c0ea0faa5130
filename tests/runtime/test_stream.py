"""Streams: an array, part of one, or an iterator of arrays in any parts gives the numbers of one call, to the bit."""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.errors import InputError, InputTypeError, OptionError
from reparam.files import npy
from reparam.files.npy import header_of

Array = npt.NDArray[Any]
Load = Callable[..., reparam.VAE]
Rows = Callable[[int], Array]
Op = Literal["encode", "sample", "decode", "reconstruct"]
OPS: tuple[Op, ...] = ("encode", "sample", "decode", "reconstruct")
MNIST = Path(__file__).resolve().parents[2] / "models" / "mnist"


def cut(rows: Array, places: list[int]) -> list[Array]:
    """The rows in parts that begin at these places; some are empty."""
    return np.split(rows, sorted(min(place, len(rows)) for place in places))


def joined(parts: Iterator[tuple[Array, ...]]) -> list[Array]:
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def whole(vae: reparam.VAE, op: Op, rows: Array, **noise: Any) -> list[Array]:
    if op == "encode":
        posterior = vae.encode(rows)
        return [posterior.mean, posterior.logvar]
    return [getattr(vae, op)(rows, **noise)]


def same(found: list[Array], wanted: list[Array]) -> bool:
    return len(found) == len(wanted) and all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def given_rows(vae: reparam.VAE, op: Op, n: int, rows_of: Rows) -> Array:
    return reparam.noise("normal", 5, range(n), vae.manifest.latent.shape) if op == "decode" else rows_of(n)


@given(
    op=st.sampled_from(OPS),
    n=st.integers(1, 300),
    places=st.lists(st.integers(0, 300), max_size=8),
    max_batch=st.sampled_from([1, 3, 16, 256]),
)
def test_parts_of_any_size_give_the_numbers_of_one_call(
    load_at: Load, vae: reparam.VAE, rows_of: Rows, *, op: Op, n: int, places: list[int], max_batch: int
) -> None:
    rows, noise = (
        given_rows(vae, op, n, rows_of),
        {"seed": 7, "first_row": 5} if op in ("sample", "reconstruct") else {},
    )
    stream = list(load_at(max_batch).stream(iter(cut(rows, places)), op=op, **noise))
    assert all(len(part[0]) == max_batch for part in stream[:-1])
    assert same(joined(iter(stream)), whole(vae, op, rows, **noise))


@given(
    op=st.sampled_from(OPS),
    n=st.integers(1, 300),
    places=st.lists(st.integers(0, 300), max_size=4),
    max_batch=st.sampled_from([1, 3, 16, 256]),
    threads=st.sampled_from([1, 2]),
)
def test_shards_give_the_numbers_of_one_call(
    load_at: Load, vae: reparam.VAE, rows_of: Rows, *, op: Op, n: int, places: list[int], max_batch: int, threads: int
) -> None:
    rows, other = given_rows(vae, op, n, rows_of), load_at(max_batch, threads)
    noise = {"seed": 7, "first_row": 5} if op in ("sample", "reconstruct") else {}
    edges = [0, *sorted(min(place, n) for place in places), n]
    spans = list(itertools.pairwise(edges))
    streams = [part for a, b in spans for part in other.stream(rows, op=op, start=a, stop=b, **noise)]
    assert same(joined(iter(streams)), whole(vae, op, rows, **noise))
    numbered = [
        whole(other, op, rows[a:b], **(noise | {"first_row": 5 + a} if noise else {})) for a, b in spans if a < b
    ]
    assert same([np.concatenate(column) for column in zip(*numbered, strict=True)], whole(vae, op, rows, **noise))


@given(
    n=st.integers(1, 100),
    places=st.lists(st.integers(0, 100), max_size=5),
    others=st.lists(st.integers(0, 100), max_size=5),
)
def test_noise_may_come_in_parts_that_are_not_those_of_the_rows(
    load_at: Load, vae: reparam.VAE, rows_of: Rows, *, n: int, places: list[int], others: list[int]
) -> None:
    eps = reparam.noise("normal", 3, range(n), vae.manifest.latent.shape)
    for op in ("sample", "reconstruct"):
        wanted = whole(vae, op, rows_of(n), eps=eps)
        for x in (rows_of(n), iter(cut(rows_of(n), places))):
            assert same(joined(load_at(7).stream(x, op=op, eps=iter(cut(eps, others)))), wanted)
        assert same(joined(load_at(7).stream(iter(cut(rows_of(n), places)), op=op, eps=eps)), wanted)


def test_a_part_of_an_array_takes_its_own_rows_of_the_noise(load_at: Load, vae: reparam.VAE, rows_of: Rows) -> None:
    eps = reparam.noise("normal", 3, range(50), vae.manifest.latent.shape)
    found = joined(load_at(7).stream(rows_of(50), op="sample", eps=eps, start=10, stop=31))
    assert same(found, [vae.sample(rows_of(50), eps=eps)[10:31]])


def test_an_iterator_may_use_its_memory_again(load_at: Load, vae: reparam.VAE, rows_of: Rows) -> None:
    rows, buffer = rows_of(40), np.empty_like(rows_of(3))

    def parts() -> Iterator[Array]:
        for start in range(0, 39, 3):
            buffer[:] = rows[start : start + 3]
            yield buffer

    assert same(joined(load_at(7).stream(parts(), op="encode")), whole(vae, "encode", rows[:39]))


def test_an_iterator_is_asked_for_no_more_than_the_next_chunk_needs(load_at: Load, rows_of: Rows) -> None:
    asked = []

    def parts() -> Iterator[Array]:
        for number in range(100):
            asked.append(number)
            yield rows_of(2)

    stream = load_at(7).stream(parts(), op="encode")
    assert asked == []
    next(stream)
    assert len(asked) == 4


def test_an_iterator_of_no_rows_ends_at_once(vae: reparam.VAE, rows_of: Rows) -> None:
    assert list(vae.stream(iter([]), op="encode")) == []
    assert list(vae.stream(iter([rows_of(0), rows_of(0)]), op="reconstruct")) == []


def test_a_part_that_does_not_fit_is_named_by_its_number(load_at: Load, rows_of: Rows) -> None:
    for bad, kind, message in (
        (rows_of(3)[..., :-1], InputError, r"^x, part 3: shape must be \[n, "),
        (rows_of(3).astype(int), InputTypeError, r"^x, part 3: dtype must be float32"),
        (rows_of(3).tolist(), InputTypeError, r"^x, part 3: must be a numpy array"),
    ):
        stream = load_at(7).stream(iter([rows_of(7), rows_of(2), bad]), op="encode")
        next(stream)
        with pytest.raises(kind, match=message) as caught:
            list(stream)
        assert "\n" not in str(caught.value)


def test_a_value_that_is_not_finite_is_named_by_its_row_across_all_parts(load_at: Load, rows_of: Rows) -> None:
    bad = rows_of(5)
    bad[2] = np.nan
    with pytest.raises(InputError, match=r"^x: must be finite, got nan at row 42, column"):
        list(load_at(7).stream(iter([rows_of(30), rows_of(10), bad]), op="encode"))
    rows = np.concatenate([rows_of(40), bad])
    with pytest.raises(InputError, match=r"^x: must be finite, got nan at row 42, column"):
        list(load_at(7).stream(rows, op="encode", start=35))


@pytest.mark.parametrize(
    ("rows", "told"),
    [(0, "got only 0"), (6, "got only 6"), (19, "got only 19"), (21, "20, got more"), (30, "20, got more")],
)
def test_noise_in_parts_has_as_many_rows_as_x(
    load_at: Load, vae: reparam.VAE, rows_of: Rows, *, rows: int, told: str
) -> None:
    eps = reparam.noise("normal", 3, range(rows), vae.manifest.latent.shape)
    with pytest.raises(InputError, match=f"^eps: must have one row for each row of x, {told}; rows are"):
        list(load_at(7).stream(iter([rows_of(20)]), op="sample", eps=iter(cut(eps, [2, 9]))))


def test_options_that_make_no_sense_are_refused_before_the_first_part(vae: reparam.VAE, rows_of: Rows) -> None:
    def never() -> Iterator[Array]:
        raise AssertionError
        yield

    eps = np.zeros((3, *vae.manifest.latent.shape), np.float32)
    for options, message in (
        ({"op": "sample"}, "^eps, seed: give exactly one"),
        ({"op": "sample", "seed": 7, "eps": eps}, "^eps, seed: give exactly one"),
        ({"op": "sample", "seed": -1}, "^seed: "),
        ({"op": "sample", "seed": 7, "first_row": -1}, "^first_row: "),
        ({"op": "sample", "eps": eps, "first_row": 1}, "^first_row: numbers the rows for seed"),
        ({"op": "encode", "seed": 7}, "^eps, seed: encode draws nothing"),
        ({"op": "encode", "start": 1}, "^start, stop: name rows of an array"),
        ({"op": "encode", "stop": 1}, "^start, stop: name rows of an array"),
    ):
        with pytest.raises(OptionError, match=message):
            vae.stream(never(), **options)  # type: ignore[arg-type]
    for span in ({"start": -1}, {"start": 4}, {"stop": 4}, {"start": 2, "stop": 1}, {"stop": 1.5}):
        with pytest.raises(OptionError, match=r"^(start|stop): must be an integer from "):
            vae.stream(rows_of(3), op="encode", **span)  # type: ignore[arg-type]


@given(
    n=st.integers(1, 10_000),
    places=st.lists(st.integers(0, 10_000), max_size=4),
    max_batch=st.sampled_from([100, 256, 4096]),
)
def test_an_evaluation_does_not_depend_on_how_its_rows_are_cut(
    load_at: Load, vae: reparam.VAE, *, n: int, places: list[int], max_batch: int
) -> None:
    rows = np.abs(reparam.noise("uniform", 5, range(n), vae.manifest.input.shape)) % 1
    wanted = vae.evaluate(rows, seed=3)
    assert load_at(max_batch).evaluate(iter(cut(rows, places)), seed=3) == wanted
    assert wanted.rows == n
    assert wanted.rate == pytest.approx(vae.encode(rows).kl().mean(), rel=1e-12)


def test_an_evaluation_is_the_mean_and_error_of_its_rows_scores(vae: reparam.VAE) -> None:
    rows = np.abs(reparam.noise("uniform", 5, range(5000), vae.manifest.input.shape)) % 1
    found = vae.evaluate(iter(cut(rows, [1, 4095, 4097])), seed=3, samples=2)
    scores = vae.log_likelihood(rows, seed=3, samples=2)
    assert found.nll == pytest.approx(-scores.mean(), rel=1e-12)
    assert found.nll_se == pytest.approx(scores.std(ddof=1) / 5000**0.5, rel=1e-9)
    assert found.negative_elbo == pytest.approx(-vae.elbo(rows, seed=3).mean(), rel=1e-12)
    active = vae.encode(rows).mean.astype(np.float64).var(axis=0) > 0.01
    assert found.active_units == active.sum()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_a_file_gives_the_numbers_of_its_array(
    load_at: Load, vae: reparam.VAE, rows_of: Rows, tmp_path: Path, *, order: Any, dtype: str
) -> None:
    eps = reparam.noise("normal", 3, range(50), vae.manifest.latent.shape)
    npy.write(tmp_path / "eps.npy", np.asarray(eps, dtype, order=order))
    with npy.read(tmp_path / "eps.npy") as noise:
        for op in OPS:
            npy.write(tmp_path / "rows.npy", np.asarray(given_rows(vae, op, 50, rows_of), dtype, order=order))
            with npy.read(tmp_path / "rows.npy") as rows:
                inside = np.asarray(rows)
                assert same(joined(load_at(7).stream(rows, op=op, **seeded(op))), whole(vae, op, inside, **seeded(op)))
                found = joined(load_at(7).stream(rows, op=op, start=10, stop=31, **seeded(op)))
                assert same(found, [out[10:31] for out in whole(vae, op, inside, **seeded(op))])
                if op in ("sample", "reconstruct"):
                    for x in (rows, iter([inside])):
                        assert same(joined(load_at(7).stream(x, op=op, eps=noise)), whole(vae, op, inside, eps=eps))


def seeded(op: Op) -> dict[str, Any]:
    return {"seed": 7, "first_row": 5} if op in ("sample", "reconstruct") else {}


def test_a_file_that_does_not_fit_is_refused_as_its_array_would_be(vae: reparam.VAE, tmp_path: Path) -> None:
    for array, kind, message in (
        (np.zeros((3, 5), np.float32), InputError, r"^x: shape must be \[n, "),
        (np.zeros((3, *vae.manifest.input.shape), np.int64), InputTypeError, "^x: dtype must be float32"),
        (np.zeros(vae.manifest.input.shape, np.float32), InputError, "^x: shape must be .* got one row"),
    ):
        npy.write(tmp_path / "x.npy", array)
        with npy.read(tmp_path / "x.npy") as rows, pytest.raises(kind, match=message):
            vae.stream(rows, op="encode")


def test_a_file_that_is_cut_short_is_an_error_with_its_row_where_a_map_would_end_the_process(
    load_at: Load, rows_of: Rows, tmp_path: Path
) -> None:
    npy.write(tmp_path / "x.npy", rows_of(1000))
    with npy.read(tmp_path / "x.npy") as rows:
        stream = load_at(7).stream(rows, op="encode")
        next(stream)
        os.truncate(tmp_path / "x.npy", 128 + 300 * rows.nbytes // 1000 + 1)
        with pytest.raises(InputError, match=r"x\.npy: was cut short while it was read, row 300 is missing; copy the"):
            list(stream)


# -- memory ----------------------------------------------------------------------------------------------------------

CODE = """
import sys
import numpy, pathlib, reparam
from reparam.files import npy

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

path, bundle, how = sys.argv[1:]
vae = reparam.load(bundle, device="cpu", threads=1)
rows = npy.read(pathlib.Path(path)) if how == "file" else numpy.load(path, mmap_mode="r")
vae.encode(numpy.asarray(rows[:256]))
before = status("VmRSS")
if how in ("encode", "file"):
    count = sum(len(mean) for mean, _ in vae.stream(rows, op="encode"))
elif how == "backwards":
    count = sum(len(z) for (z,) in vae.stream(rows[::-1], op="sample", seed=1))
elif how == "parts":
    count = sum(len(z) for (z,) in vae.stream(iter([rows[:9], rows[9:]]), op="sample", seed=1))
else:
    count = vae.evaluate(rows).rows
assert count == len(rows), count
print(status("VmHWM") - before)
"""


def zeros(path: Path, rows: int) -> Path:
    """MNIST's rows, all zero, in a file that takes up no disk."""
    with path.open("wb") as file:
        file.write(header_of("<f4", (rows, 1, 28, 28)))
        file.truncate(file.tell() + rows * 784 * 4)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is read from /proc")
@pytest.mark.parametrize("how", ["encode", "evaluate", "backwards", "parts", "file"])
def test_a_file_of_300_megabytes_streams_in_under_100(fresh: Callable[..., Any], tmp_path: Path, how: str) -> None:
    ended = fresh(CODE, zeros(tmp_path / "x.npy", 96_000), MNIST, how)
    assert ended.err == ""
    assert int(ended.out) < (20e6 if how == "file" else 100e6)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is read from /proc")
@pytest.mark.parametrize("how", ["encode", "evaluate"])
def test_a_file_of_four_gigabytes_streams_in_as_little_memory(
    fresh: Callable[..., Any], tmp_path: Path, how: str
) -> None:
    small, large = (
        int(fresh(CODE, zeros(tmp_path / f"{rows}.npy", rows), MNIST, how).out) for rows in (96_000, 1_300_000)
    )
    assert large < 250e6
    assert large < small + 20e6
