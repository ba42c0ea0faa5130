from pathlib import Path

import numpy as np
import pytest

from reparam.errors import OptionError
from reparam_train import keyed
from reparam_train.binarize import binarized
from reparam_train.checkpoint import read_run
from reparam_train.data import Data
from reparam_train.evaluate import elbo
from reparam_train.loop import fit
from reparam_train.options import Options, VAEConfig, config_for

GREY = np.random.default_rng(0).random((50, 2, 3), np.float32)


def test_a_draw_is_a_function_of_the_seed_and_the_row_number() -> None:
    whole = binarized(GREY, 7, range(50))
    assert np.array_equal(binarized(GREY[20:30], 7, range(20, 30)), whole[20:30])
    assert np.array_equal(binarized(GREY[[4, 2]], 7, np.array([4, 2])), whole[[4, 2]])
    assert not np.array_equal(binarized(GREY, 8, range(50)), whole)
    assert (whole.dtype, whole.shape, set(np.unique(whole))) == (np.float32, (50, 2, 3), {0.0, 1.0})


def test_black_stays_black_and_white_stays_white() -> None:
    assert not binarized(np.zeros((1000, 9), np.float32), 1, range(1000)).any()
    assert binarized(np.ones((1000, 9), np.float32), 1, range(1000)).all()


def test_the_share_of_ones_is_the_grey_value() -> None:
    grey = np.tile(np.array([0.1, 0.5, 0.83], np.float32), (20_000, 1))
    np.testing.assert_allclose(binarized(grey, 3, range(20_000)).mean(axis=0), grey[0], atol=0.01)


def test_a_draw_is_published() -> None:
    """Other programs may rely on it: a change of this line changes every binarised test set."""
    found = binarized(np.full((2, 8), 0.5, np.float32), 0, range(2))
    assert found.tolist() == [[0, 0, 0, 0, 0, 0, 1, 1], [0, 1, 0, 0, 0, 1, 0, 1]]


def test_static_rows_are_always_the_same_and_share_no_noise_between_splits(digits: Data) -> None:
    static = digits.binarized("static", 5)
    places = np.array([3, 1, 4])
    assert np.array_equal(static.train.batch(places), static.train.batch(np.arange(5))[places])
    assert np.array_equal(static.head(3).test.batch(np.arange(3)), static.test.batch(np.arange(3)))
    grey = digits.test.batch(places)
    assert np.array_equal(static.test.batch(places), binarized(grey, 5, places))
    grey = digits.train.batch(places)
    assert np.array_equal(static.train.batch(places), binarized(grey, 5, keyed.FIRST_STATIC_ROW + places))
    assert static.sha256 == digits.sha256


def test_dynamic_leaves_the_training_rows_grey_until_their_step_and_fixes_the_test_rows(digits: Data) -> None:
    dynamic, places = digits.binarized("dynamic", 5), np.arange(4)
    assert np.array_equal(dynamic.train.batch(places), digits.train.batch(places))
    assert np.array_equal(dynamic.test.batch(places), digits.binarized("static", 5).test.batch(places))
    assert digits.binarized("none", 5) is digits


def test_how_rows_are_binarised_changes_a_run_and_validation_reads_the_static_test_rows(
    tmp_path: Path, digits: Data, tiny_config: VAEConfig
) -> None:
    found = {}
    for how in ("none", "static", "dynamic"):
        options = Options(epochs=2, limit=100, binarize=how, seed=5, device="cpu")
        metrics = fit(digits, tiny_config, options, out=tmp_path / how).metrics
        test = digits.head(100).binarized(how, 5).test
        found[how] = elbo(read_run(tmp_path / how).model, test, seed=5).elbo
        assert metrics["test_elbo"] == found[how]
    assert len(set(found.values())) == 3


def test_binarisation_without_bernoulli_is_refused(tmp_path: Path, digits: Data) -> None:
    config = config_for(digits, likelihood="gaussian")
    with pytest.raises(OptionError, match="binarize: belongs to likelihood bernoulli, got gaussian"):
        fit(digits, config, Options(binarize="static"), out=tmp_path / "run")
