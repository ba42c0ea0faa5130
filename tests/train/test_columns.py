import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reparam.errors import InputError, OptionError
from reparam_train import likelihoods
from reparam_train.checkpoint import read_run
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


def test_shift_and_scale_change_the_units_that_layers_see_and_not_the_density() -> None:
    income = Column(name="income", kind="gaussian", shift=1e5, scale=3e4)
    law = likelihoods.build("mixed", columns=(income, COLOUR))
    x = torch.tensor([[1.3e5, 0.0, 1.0, 0.0]])
    torch.testing.assert_close(law.standardised(x), torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    outputs = law.outputs(torch.tensor([[0.5, 1.0, 1.0, 1.0]]))
    torch.testing.assert_close(outputs["x_hat"][:, 0], torch.tensor([1.15e5]))
    torch.testing.assert_close(outputs["logits"][:, 0], outputs["x_hat"][:, 0])
    expected = -0.5 * (0.5**2 + math.log(2 * math.pi * 3e4**2)) - math.log(3)
    assert law.log_prob(x, outputs).item() == pytest.approx(expected, rel=1e-6)
    assert law.constants() == pytest.approx({"income": 3e4})
    assert list(law.state_dict()) == ["log_std"]


def test_the_units_of_a_table_change_neither_its_training_nor_its_nats_but_by_their_logarithm(tmp_path: Path) -> None:
    """A column in other units has a density that is smaller by their ratio, and nothing else may differ."""
    random = np.random.default_rng(0)
    height, weight = random.normal(1.7, 0.1, 200), random.normal(70, 9, 200)
    found = []
    for folder, unit in (("metres", 1.0), ("nanometres", 2.0**30)):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "people.csv"
        lines = (f"{float(a) * unit!r},{float(b)!r}" for a, b in zip(height.astype(np.float32), weight, strict=True))
        path.write_text("\n".join(["height,weight", *lines]))
        data = load(path)
        options = Options(epochs=3, device="cpu", threads=1)
        fit(data, config_for(data, latent=2, hidden=(8,)), options, out=tmp_path / folder / "run")
        found.append(read_run(tmp_path / folder / "run").metrics)
    assert found[1]["test_rate"] == pytest.approx(found[0]["test_rate"], rel=1e-5)
    assert found[1]["test_elbo"] == pytest.approx(found[0]["test_elbo"] - 30 * math.log(2), rel=1e-5)


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
