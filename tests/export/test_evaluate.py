"""A run and its bundle are evaluated by one code, and agree; so do the scores of every likelihood."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reparam.bundle.manifest import Bernoulli, Column, Gaussian, Laplace, Mixed
from reparam.likelihood import log_prob
from reparam_train.data.columns import Column as TrainColumn
from reparam_train.likelihoods import bernoulli, mixed


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reparam.cli.main", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(
    scope="module",
    params=[
        "bernoulli --binarize static",
        "gaussian --posterior laplace",
        "laplace",
        "gaussian --net resnet --hidden 4,8 --latent 2",  # a spatial latent
    ],
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run and its bundle."""
    path = tmp_path_factory.mktemp("evaluate")
    options = ["--net", "mlp", "--hidden", "16", "--latent", "3", "--epochs", "2", "--likelihood"]
    for words in (["train", "digits", "--out", "run", *options, *request.param.split()], ["export", "run", "bundle"]):
        done = command(*words, cwd=path)
        assert done.returncode == 0, done.stderr
    return path


def evaluated(folder: Path, target: str, *more: str) -> dict[str, float]:
    done = command("evaluate", target, "digits", "--json", "--device", "cpu", *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_a_run_and_its_bundle_agree_and_the_elbo_is_the_one_that_training_printed(folder: Path) -> None:
    run, bundle = (evaluated(folder, target, "--samples", "5") for target in ("run", "bundle"))
    assert run.keys() == bundle.keys()
    for name, value in run.items():
        assert bundle[name] == pytest.approx(value, abs=1e-3), name
    manifest = json.loads((folder / "bundle" / "manifest.json").read_text())
    assert -run["negative_elbo"] == pytest.approx(manifest["training"]["metrics"]["test_elbo"], abs=1e-4)
    assert run["rows"] == 299


def test_more_samples_bring_the_nll_down_from_the_negative_elbo(folder: Path) -> None:
    few, many = (evaluated(folder, "bundle", "--samples", k) for k in ("2", "100"))
    assert many["nll"] < few["nll"] < few["negative_elbo"] + 3 * few["nll_se"]


def test_evaluate_names_a_missing_target_and_rows_that_do_not_fit(folder: Path) -> None:
    np.save(folder / "rows.npy", np.zeros((20, 7), np.float32))
    for target in ("run", "bundle"):
        done = command("evaluate", target, "rows.npy", cwd=folder)
        assert (done.returncode, done.stderr.count("error: x: shape must be [n, 1, 8, 8], got [2, 7]")) == (4, 1)
    done = command("evaluate", "nowhere", "digits", cwd=folder)
    assert done.returncode == 3
    assert done.stderr.startswith("error: nowhere")


def test_every_likelihood_scores_as_in_training() -> None:
    generator = torch.Generator().manual_seed(3)
    raw, x = torch.randn(6, 4, generator=generator), torch.rand(6, 4, generator=generator)
    extra = torch.randn(6, 4, generator=generator)

    def numpy(outputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
        return {name: value.detach().numpy() for name, value in outputs.items()}

    normal, double = torch.distributions.Normal, torch.distributions.Laplace
    cases = [
        (Gaussian(std=0.3), {"x_hat": raw}, normal(raw, 0.3).log_prob(x).sum(1)),
        (Gaussian(std=None), {"x_hat": raw, "x_logvar": extra}, normal(raw, (extra / 2).exp()).log_prob(x).sum(1)),
        (Laplace(scale=0.3), {"x_hat": raw}, double(raw, 0.3).log_prob(x).sum(1)),
        (Laplace(scale=None), {"x_hat": raw, "x_logscale": extra}, double(raw, extra.exp()).log_prob(x).sum(1)),
    ]
    law = bernoulli.Bernoulli()
    outputs = law.outputs(raw)
    cases.append((Bernoulli(), outputs, law.log_prob(x, outputs)))
    for likelihood, given, wanted in cases:
        np.testing.assert_allclose(log_prob(likelihood, x.numpy(), numpy(given)), wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_mixed_columns_score_as_in_training() -> None:
    columns = (
        TrainColumn(name="size", kind="gaussian"),
        TrainColumn(name="sold", kind="bernoulli"),
        TrainColumn(name="kind", kind="categorical", categories=("a", "b", "c")),
    )
    law = mixed.Mixed(columns)
    assert law.log_std is not None
    torch.nn.init.constant_(law.log_std, -0.7)
    raw = torch.randn(5, 5, generator=torch.Generator().manual_seed(3))
    x = torch.tensor([[0.3, 1, 0, 1, 0], [-1, 0, 1, 0, 0], [2, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 1, 1, 0, 0]])
    outputs = law.outputs(raw)
    manifest = Mixed(
        columns=(
            Column(name="size", kind="gaussian", start=0, stop=1, std=law.constants()["size"]),
            Column(name="sold", kind="bernoulli", start=1, stop=2),
            Column(name="kind", kind="categorical", start=2, stop=5, categories=("a", "b", "c")),
        )
    )
    given = {name: value.detach().numpy() for name, value in outputs.items()}
    wanted = law.log_prob(x, outputs).detach().numpy()
    np.testing.assert_allclose(log_prob(manifest, x.numpy(), given), wanted, rtol=1e-5, atol=1e-5)
