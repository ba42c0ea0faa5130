from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import OptionError
from reparam.laws import words
from reparam_train import keyed


@pytest.mark.parametrize("rows", [1, 2, 1498])
def test_the_order_of_an_epoch_is_a_permutation(rows: int) -> None:
    assert sorted(keyed.order(3, epoch=4, rows=rows)) == list(range(rows))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return list(keyed.order(seed, epoch=epoch, rows=50))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_the_order_of_an_epoch_is_published() -> None:
    """Other programs may rely on it: a change of this line breaks the resuming of old runs."""
    assert keyed.order(0, epoch=0, rows=8).tolist() == [6, 5, 7, 0, 2, 4, 1, 3]


def test_every_row_comes_first_about_equally_often() -> None:
    firsts = np.bincount([int(keyed.order(0, epoch=epoch, rows=5)[0]) for epoch in range(1000)], minlength=5)
    assert firsts.min() > 150
    assert firsts.max() < 250


def noise_of(seed: int, *, step: int, batch_size: int, places: range, **more: Any) -> Any:
    rows = keyed.training_rows(step=step, batch_size=batch_size, places=places)
    return keyed.training_noise(seed, rows=rows, **more)


def test_a_slice_of_a_step_gets_the_noise_of_its_places() -> None:
    whole = noise_of(1, step=9, batch_size=8, places=range(8), shape=(3,))[0]
    assert np.array_equal(noise_of(1, step=9, batch_size=8, places=range(2, 5), shape=(3,))[0], whole[2:5])


def test_steps_share_no_noise_with_each_other_nor_with_evaluation() -> None:
    first, second = (noise_of(1, step=step, batch_size=8, places=range(8), shape=(3,))[0] for step in (0, 1))
    third = keyed.evaluation_noise(1, rows=range(8), shape=(3,))
    assert len(np.unique(np.concatenate([first, second, third]))) == 3 * 8 * 3


def test_training_noise_is_the_runtime_s_noise_of_the_rows_documented() -> None:
    expected = reparam.noise("normal", 7, range(2**63 + 3 * 64, 2**63 + 3 * 64 + 5), (2,))
    assert np.array_equal(noise_of(7, step=3, batch_size=64, places=range(5), shape=(2,))[0], expected)


def test_draws_and_laws_of_training_noise_are_those_of_the_runtime() -> None:
    rows = range(2**63, 2**63 + 4)
    found = noise_of(7, step=0, batch_size=4, places=range(4), shape=(2,), law="laplace", draws=3)
    expected = [reparam.noise("laplace", 7, rows, (2,), draw=draw) for draw in range(3)]
    assert np.array_equal(found, np.stack(expected))


def test_evaluation_of_row_i_uses_row_number_i() -> None:
    expected = reparam.noise("normal", 7, range(40, 44), (2,))
    assert np.array_equal(keyed.evaluation_noise(7, rows=range(40, 44), shape=(2,)), expected)


def test_a_seed_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match="seed: must be an integer from 0 to"):
        keyed.order(-1, epoch=0, rows=3)


def test_the_order_of_many_rows_is_that_of_their_keys() -> None:
    rows = 2**16 + 3  # more than are drawn in one go
    ids = np.arange(rows, dtype=np.uint64) + np.uint64(keyed.FIRST_ORDER_ROW)
    low, high, _, _ = words(7, ids, np.full(1, 2, np.uint64), stream="data")
    assert np.array_equal(keyed.order(7, epoch=2, rows=rows), np.argsort(low + high * np.uint64(2**32), kind="stable"))
