"""Noise is a function of (seed, row): known answers, an independent implementation, any order and any subset."""

import itertools
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam import philox
from reparam.laws import LAWS, STREAMS, Law, Stream

ROW = st.integers(0, 2**64 - 1)
SEED = st.integers(0, 2**64 - 1)

# random123's kat_vectors: counter words, key words, output words
PUBLISHED = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]

# seed 7, rows 2 and 3, three values each
FROZEN = {
    ("normal", "posterior"): [[3.1903508, 0.16960694, 0.37980056], [-0.0011074585, 1.3719312, 1.2557122]],
    ("normal", "prior"): [[0.52898437, 0.039403893, 0.20247975], [-0.82815623, -0.20580347, -0.3746267]],
    ("normal", "data"): [[-0.22069067, 1.441408, -0.17667775], [0.6946782, 2.0538104, -1.600646]],
    ("uniform", "posterior"): [[-1.7110059, -1.7027683, 1.0657486], [-0.3803616, -0.8655804, -1.2201432]],
    ("uniform", "prior"): [[1.2774215, -1.6910582, -0.1549637], [0.6748848, 0.13428935, 0.72055435]],
    ("uniform", "data"): [[-0.53570396, -0.78226316, 0.5673435], [-1.4018004, -1.0458462, -1.6465855]],
    ("laplace", "posterior"): [[-3.1186273, -2.8850474, 0.6755119], [-0.17532787, -0.4897658, -0.8619046]],
    ("laplace", "prior"): [[0.9458112, -2.6471741, -0.06627472], [0.34910882, 0.05706535, 0.38033527]],
    ("laplace", "data"): [[-0.26165318, -0.42484602, 0.28060564], [-1.1718245, -0.6547, -2.1276493]],
}


def slow_block(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 once more, from the paper, in Python's integers."""
    for number in range(10):
        k0, k1 = (key[0] + number * 0x9E3779B9) % 2**32, (key[1] + number * 0xBB67AE85) % 2**32
        high0, low0 = divmod(0xD2511F53 * counter[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * counter[2], 2**32)
        counter = [high1 ^ counter[1] ^ k0, low1, high0 ^ counter[3] ^ k1, low0]
    return counter


def slow_noise(law: Law, seed: int, row: int, width: int, *, stream: Stream, draw: int) -> list[float]:
    """One row's noise, a value at a time."""
    out: list[float] = []
    for block in range(-(-width // 4)):
        counter = [row % 2**32, row >> 32, block, 4 * draw + STREAMS.index(stream)]
        words = slow_block(counter, [seed % 2**32, seed >> 32])
        u = [(word + 0.5) / 2**32 for word in words]
        if law == "uniform":
            out += [math.sqrt(3) * (2 * value - 1) for value in u]
        elif law == "laplace":
            out += [(math.log(2 * v) if v < 0.5 else -math.log(2 - 2 * v)) / math.sqrt(2) for v in u]
        else:
            for radius, angle in ((u[0], u[1]), (u[2], u[3])):
                length = math.sqrt(-2 * math.log(radius))
                out += [length * math.cos(2 * math.pi * angle), length * math.sin(2 * math.pi * angle)]
    return out[:width]


@pytest.mark.parametrize(("counter", "key", "answer"), PUBLISHED)
def test_philox_gives_the_published_words(counter: str, key: str, answer: str) -> None:
    c = [np.array([int(word, 16)], np.uint64) for word in counter.split()]
    low, high = (int(word, 16) for word in key.split())
    assert " ".join(f"{int(word[0]):08x}" for word in philox.block(high << 32 | low, *c)) == answer


@pytest.mark.parametrize(("law", "stream"), FROZEN)
def test_noise_gives_its_own_published_values_to_the_bit(law: Law, stream: Stream) -> None:
    found = reparam.noise(law, 7, range(2, 4), (3,), stream=stream)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(FROZEN[law, stream], np.float32))


def test_the_last_seed_row_and_draw_have_published_values_too() -> None:
    found = reparam.noise("normal", 2**64 - 1, range(2**64 - 1, 2**64), (6,), draw=2**30 - 1)
    wanted = [[0.058153305, 0.29624373, 1.2288649, -1.329503, -2.5237055, -1.9465828]]
    np.testing.assert_array_equal(found, np.array(wanted, np.float32))


def test_every_law_and_stream_has_published_values() -> None:
    assert set(FROZEN) == {(law, stream) for law in get_args(Law) for stream in get_args(Stream)}


@given(
    law=st.sampled_from(LAWS),
    seed=SEED,
    row=ROW,
    width=st.integers(0, 11),
    stream=st.sampled_from(STREAMS),
    draw=st.integers(0, 2**30 - 1),
)
def test_noise_agrees_with_an_independent_implementation(
    *, law: Law, seed: int, row: int, width: int, stream: Stream, draw: int
) -> None:
    found = reparam.noise(law, seed, np.array([row], np.uint64), (width,), stream=stream, draw=draw)
    wanted = np.array([slow_noise(law, seed, row, width, stream=stream, draw=draw)], np.float64).astype(np.float32)
    np.testing.assert_array_max_ulp(found, wanted, maxulp=1)


@given(st.lists(ROW, max_size=12), SEED, st.sampled_from(LAWS), st.integers(1, 9))
def test_a_row_has_the_same_noise_in_any_company(rows: list[int], seed: int, law: Law, width: int) -> None:
    found = reparam.noise(law, seed, np.array(rows, np.uint64), (width,))
    assert found.shape == (len(rows), width)
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(found[place], reparam.noise(law, seed, range(row, row + 1), (width,))[0])


@given(st.integers(0, 2**64 - 3000), st.lists(st.integers(0, 2999), max_size=5), st.integers(1, 3))
def test_any_chunking_of_a_range_gives_the_whole(first: int, cuts: list[int], width: int) -> None:
    whole = reparam.noise("normal", 7, range(first, first + 3000), (width,))
    edges = [0, *sorted(cuts), 3000]
    parts = [
        reparam.noise("normal", 7, range(first + start, first + stop), (width,))
        for start, stop in itertools.pairwise(edges)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(st.integers(0, 50), st.integers(-1, 60), st.integers(-7, 7).filter(bool))
def test_a_range_with_any_step_is_its_rows(start: int, stop: int, step: int) -> None:
    rows = range(start, stop, step)
    found = reparam.noise("laplace", 3, rows, (5,))
    np.testing.assert_array_equal(found, reparam.noise("laplace", 3, np.array(rows, np.int64), (5,)))


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<u8", ">i8"])
def test_row_numbers_may_be_integers_of_any_width_and_byte_order(dtype: str) -> None:
    rows = np.array([[9, 0], [3, 0], [120, 0]], dtype)[:, 0]  # strided too
    wanted = np.concatenate([reparam.noise("normal", 7, range(row, row + 1), (3,)) for row in (9, 3, 120)])
    np.testing.assert_array_equal(reparam.noise("normal", 7, rows, (3,)), wanted)


@given(st.lists(st.integers(1, 4), max_size=3), st.integers(0, 6))
def test_the_shape_only_folds_a_row(shape: list[int], n: int) -> None:
    found = reparam.noise("normal", 7, range(n), tuple(shape))
    width = math.prod(shape)
    assert found.shape == (n, *shape)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found.reshape(n, width), reparam.noise("normal", 7, range(n), (width,)))


@pytest.mark.parametrize("law", LAWS)
def test_a_wider_row_begins_with_the_narrower_one(law: Law) -> None:
    wide = reparam.noise(law, 7, range(10), (23,))
    for width in range(23):
        np.testing.assert_array_equal(reparam.noise(law, 7, range(10), (width,)), wide[:, :width])


def test_no_rows_and_no_width_give_empty_arrays() -> None:
    assert reparam.noise("normal", 7, range(0), (3,)).shape == (0, 3)
    assert reparam.noise("normal", 7, range(5, 5), (3, 2)).shape == (0, 3, 2)
    assert reparam.noise("normal", 7, range(4), (0,)).shape == (4, 0)


@pytest.mark.parametrize("law", LAWS)
def test_extreme_words_still_give_finite_noise(law: Law) -> None:
    found = reparam.noise(law, 7, range(200_000), (20,))
    assert np.isfinite(found).all()
    assert law != "uniform" or np.abs(found).max() <= np.float32(math.sqrt(3))
