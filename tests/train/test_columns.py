import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reparam.errors import InputError, OptionError
from reparam_train import likelihoods
from reparam_train.data import load
from reparam_train.data.columns import Column, places
from reparam_train.loop import fit
from reparam_train.options import Options, VAEConfig, config_for

HEIGHT = Column(name="height", kind="gaussian")
COLOUR = Column(name="colour", kind="categorical", categories=("red", "green", "blue"))
ALIVE = Column(name="alive", kind="bernoulli")
WEIGHT = Column(name="weight", kind="gaussian")
COLUMNS = (HEIGHT, COLOUR, ALIVE, WEIGHT)


def test_columns_stand_side_by_side_from_the_left() -> None:
    assert [(start, stop) for _, start, stop in places(COLUMNS)] == [(0, 1), (1, 4), (4, 5), (5, 6)]


def test_each_column_is_scored_by_its_own_law_and_their_sum_is_the_row_s() -> None:
    law = likelihoods.build("mixed", columns=COLUMNS)
    with torch.no_grad():
        next(law.parameters()).copy_(torch.tensor([0.0, math.log(2.0)]))
    raw = torch.tensor([[0.5, 1.0, 2.0, 3.0, -1.0, 4.0]])
    x = torch.tensor([[1.5, 0.0, 1.0, 0.0, 1.0, 8.0]])
    softmax = raw[0, 1:4].softmax(0)
    expected = (
        -0.5 * (1 + math.log(2 * math.pi))
        + softmax[1].log().item()
        + math.log(1 / (1 + math.e))
        - 0.5 * (4 + math.log(2 * math.pi * 4))
    )
    outputs = law.outputs(raw)
    assert law.log_prob(x, outputs).item() == pytest.approx(expected, rel=1e-5)
    wanted = torch.cat([raw[0, :1], softmax, raw[0, 4:5].sigmoid(), raw[0, 5:]])
    torch.testing.assert_close(outputs["x_hat"][0], wanted)
    assert law.constants() == pytest.approx({"height": 1.0, "weight": 2.0})


def test_the_probabilities_of_all_categories_sum_to_one() -> None:
    law = likelihoods.build("mixed", columns=(COLOUR,))
    outputs = law.outputs(torch.randn(1, 3).expand(3, 3))
    assert law.log_prob(torch.eye(3), outputs).exp().sum().item() == pytest.approx(1)
    assert law.constants() == {}
    assert list(law.parameters()) == []


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (1, 0.5, r"column colour is categorical and holds one 1 and else 0, row 7 does not"),
        (2, 1.0, r"column colour is categorical and holds one 1 and else 0, row 7 does not"),
        (4, 1.5, r"column alive is bernoulli and holds values from 0 to 1, row 7 does not"),
    ],
)
def test_rows_that_are_not_what_their_columns_say_are_refused(
    tmp_path: Path, place: int, value: float, message: str
) -> None:
    rows = np.tile(np.array([3.5, 1, 0, 0, 1, -2], np.float32), (40, 1))
    rows[7, place] = value
    np.save(tmp_path / "rows.npy", rows)
    data = load(tmp_path / "rows.npy")
    with pytest.raises(InputError, match=message):
        fit(data, config_for(data, columns=COLUMNS), Options(epochs=1), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "ordinal"}, "kind must be one of gaussian, bernoulli, categorical, got 'ordinal'"),
        ({"kind": "categorical"}, "categorical goes with two or more categories"),
        ({"kind": "gaussian", "categories": ("a", "b")}, "categorical goes with two or more categories"),
        ({"kind": "categorical", "categories": ("a", "a")}, "each category stands once"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Column(name="x", **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"likelihood": "mixed"}, "columns: likelihood mixed needs them and no other takes them, got mixed with 0"),
        ({"likelihood": "gaussian", "columns": COLUMNS}, "needs them and no other takes them, got gaussian with 4"),
        ({"likelihood": "mixed", "columns": (HEIGHT,)}, r"their widths add up to 1, got rows of shape \[6\]"),
        ({"likelihood": "mixed", "columns": (*COLUMNS[:3], HEIGHT)}, "each name stands once"),
        ({"likelihood": "mixed", "columns": COLUMNS, "std": 0.1}, "std: belongs to likelihood gaussian or laplace"),
    ],
)
def test_columns_that_do_not_fit_the_model_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(4,), **fields)
