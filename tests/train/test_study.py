"""Studies: compare and sweep, through their commands, on models too small to be good."""

import json
import math
import signal
import statistics
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from reparam.errors import CheckpointError, InputError, MissingExtra, OptionError
from reparam_train import step
from reparam_train.checkpoint import CURRENT, read_run
from reparam_train.data import Data
from reparam_train.evaluators import evaluate
from reparam_train.options import Options, config_for
from reparam_train.signals import Interrupted
from reparam_train.study import cli, compare, runs, sweep, sweep_picture

pytest.importorskip("matplotlib", reason="studies draw with matplotlib, of the extra `report`")
TINY = ["--hidden", "4,6", "--latent", "3", "--limit", "80", "--epochs", "2", "--device", "cpu", "--threads", "1"]
SMALL = [*TINY, "--seeds", "3,5", "--samples", "2"]
PAIR = ["--penalties", "0.5:1"]
NAMES = ["autoencoder", "moments-0.5-1", "vae"]


def run(command: Any, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def ok(command: Any, *arguments: str | Path) -> str:
    result = run(command, *arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def raise_(result: Result) -> None:
    assert result.exception is not None
    raise result.exception


def is_png(data: bytes) -> bool:
    return data[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack(">II", data[16:24])) > 400


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compare") / "study"
    ok(cli.compare, "digits", "--out", out, *SMALL, *PAIR)
    return out


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "study"
    ok(cli.sweep, "digits", "--out", out, "--beta", "0.5,2", *SMALL)
    return out


def test_a_comparison_leaves_its_numbers_its_picture_and_its_runs(compared: Path) -> None:
    found = msgspec.json.decode((compared / compare.FILE).read_bytes(), type=compare.Comparison)
    assert [arm.name for arm in found.arms] == NAMES
    assert [sorted(arm.runs) for arm in found.arms] == [["3", "5"]] * 3
    assert sorted(path.name for path in (compared / runs.RUNS).iterdir()) == sorted(
        f"{name}-seed-{seed}" for name in NAMES for seed in (3, 5)
    )
    assert is_png((compared / compare.PICTURE).read_bytes())
    assert (found.space.components, found.space.training_rows, found.space.test_rows) == (32, 80, 80)
    assert found.space.floor > 0


def test_the_runs_are_what_train_leaves_and_differ_in_objective_and_seed_alone(compared: Path) -> None:
    records = {path.name: read_run(path).record for path in (compared / runs.RUNS).iterdir()}
    objectives = {name: found.options.objective for name, found in records.items() if found.options.seed == 3}
    assert objectives == {"autoencoder-seed-3": "autoencoder", "moments-0.5-1-seed-3": "moments", "vae-seed-3": "elbo"}
    alike = {
        (
            msgspec.structs.replace(found.config, posterior="normal"),
            msgspec.structs.replace(found.options, objective="elbo", seed=0),
        )
        for found in records.values()
    }
    assert len(alike) == 1


def test_the_numbers_are_those_of_evaluate_and_their_mean_and_spread(compared: Path, digits: Data) -> None:
    found = msgspec.json.decode((compared / compare.FILE).read_bytes(), type=compare.Comparison)
    plain, _, vae = found.arms
    x = digits.head(80).test.batch(np.arange(80))
    place = compared / runs.RUNS / "vae-seed-5"
    score = evaluate(place, x, seed=5, samples=2, device="cpu", threads=1, progress=lambda _: None)
    there = vae.runs["5"]
    assert (there.elbo, there.rate, there.distortion) == (-score.negative_elbo, score.rate, score.distortion)
    assert (there.nll, there.active_units) == (score.nll, score.active_units)
    values = [number.frechet for number in vae.runs.values()]
    assert vae.mean["frechet"] == pytest.approx(statistics.fmean(values))
    assert vae.spread["frechet"] == pytest.approx(statistics.stdev(values))
    assert plain.mean["elbo"] is plain.mean["nll"] is plain.mean["posterior_std"] is None
    assert plain.mean["distortion"] is not None
    ratios = [plain.runs[seed].frechet / vae.runs[seed].frechet for seed in ("3", "5")]
    factor = found.autoencoder_over_vae
    assert (factor.lowest, factor.highest) == (min(ratios), max(ratios))
    assert factor.lowest <= factor.mean <= factor.highest


def test_a_finished_study_is_not_trained_again_and_ends_in_the_same_bytes(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [compare.FILE, compare.PICTURE, *(f"{runs.RUNS}/{name}-seed-3/{CURRENT}" for name in NAMES)]
    before = {name: (compared / name).read_bytes() for name in files}
    monkeypatch.setattr(step, "take", lambda *_, **__: pytest.fail("a step was made"))
    ok(cli.compare, "digits", "--out", compared, "--resume")
    assert {name: (compared / name).read_bytes() for name in files} == before


def test_a_study_grows_by_seeds_and_goes_on_where_it_was_stopped(
    tmp_path: Path, compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fit, begun = tmp_path / "study", runs.fit, []

    def stopped(*arguments: Any, out: Path, **more: Any) -> Any:
        begun.append(out.name)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return fit(*arguments, out=out, **more)

    monkeypatch.setattr(runs, "fit", stopped)
    first = run(cli.compare, "digits", "--out", out, *TINY, *PAIR, "--samples", "2", "--seeds", "3")
    assert first.exit_code == 1
    assert not (out / compare.FILE).exists()
    ok(cli.compare, "digits", "--out", out, "--resume", "--seeds", "3,5")
    whole, parts = ((folder / compare.FILE).read_bytes() for folder in (compared, out))
    assert parts == whole


def test_a_signal_ends_a_study_with_the_line_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, out: Path, **__: Any) -> Any:
        raise Interrupted(out, step=7, signal_number=signal.SIGTERM)

    monkeypatch.setattr(runs, "fit", stopped)
    out = tmp_path / "a study"
    done = run(cli.sweep, "digits", "--out", out, *SMALL)
    assert done.exit_code == 128 + signal.SIGTERM
    assert done.output.startswith("error: ")
    assert "stopped by SIGTERM after 7 steps" in done.output
    assert done.output.strip().endswith(f"go on with: reparam sweep digits --out '{out}' --resume")
    assert runs.read(out, "sweep").seeds == (3, 5)


def test_json_prints_the_document_and_nothing_else(compared: Path, swept: Path) -> None:
    for command, folder, name in ((cli.compare, compared, compare.FILE), (cli.sweep, swept, sweep.FILE)):
        assert json.loads(ok(command, "digits", "--out", folder, "--resume", "--json")) == json.loads(
            (folder / name).read_bytes()
        )


def test_people_get_a_table_the_factor_and_the_places(compared: Path) -> None:
    text = ok(cli.compare, "digits", "--out", compared, "--resume")
    for name in (*NAMES, "training rows", "frechet of the autoencoder over the VAE's", str(compared / compare.PICTURE)):
        assert name in text


def test_a_sweep_reports_rate_and_distortion_for_each_beta(swept: Path) -> None:
    found = msgspec.json.decode((swept / sweep.FILE).read_bytes(), type=sweep.Sweep)
    assert [point.beta for point in found.points] == [0.5, 2]
    for point in found.points:
        for seed, number in point.arm.runs.items():
            assert number.elbo is not None
            assert number.rate is not None
            assert number.elbo == pytest.approx(-(number.rate + number.distortion))
            options = read_run(swept / runs.RUNS / f"beta-{point.beta:g}-seed-{seed}").record.options
            assert (options.objective, options.beta) == ("elbo", point.beta)
    assert is_png((swept / sweep.PICTURE).read_bytes())


@pytest.mark.parametrize("command", [cli.compare, cli.sweep])
def test_rows_that_are_no_images_are_studied_too(tmp_path: Path, command: Any) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32))
    more = ["--hidden", "4", "--latent", "1", "--epochs", "1", "--seeds", "0", "--samples", "0", "--device", "cpu"]
    found = json.loads(ok(command, tmp_path / "rows.npy", "--out", tmp_path / "study", *more, "--json"))
    arms = [point["arm"] for point in found["points"]] if "points" in found else found["arms"]
    for arm in arms:
        assert all(value is None for value in arm["spread"].values())  # of one seed
        assert arm["mean"]["nll"] is None  # without samples
        assert math.isfinite(arm["mean"]["frechet"])
    (picture,) = (tmp_path / "study").glob("*.png")
    assert is_png(picture.read_bytes())


def test_the_active_units_of_a_spatial_latent_are_told_out_of_all_its_dimensions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[Any] = []
    monkeypatch.setattr(sweep_picture, "png", lambda page: (pages.append(page), b"")[1])
    words = ["--net", "resnet", "--seeds", "0", "--samples", "0", *TINY]  # z is [3, 4, 4]
    ok(cli.sweep, "digits", "--out", tmp_path / "study", "--beta", "1", *words)
    assert any("of 48 active" in text.get_text() for text in pages[0].axes[0].texts)


def test_binarised_rows_are_scored_binarised_and_compared_in_grey(tmp_path: Path) -> None:
    more = ["--binarize", "dynamic", "--seeds", "0", *TINY, *PAIR, "--json"]
    found = json.loads(ok(cli.compare, "digits", "--out", tmp_path / "study", *more))
    plain = json.loads(ok(cli.compare, "digits", "--out", tmp_path / "grey", *more[2:]))
    assert found["space"] == plain["space"]
    assert found["arms"][2]["mean"]["distortion"] != plain["arms"][2]["mean"]["distortion"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seeds", "0,0"], r"seeds: each value stands once, got 0,0"),
        (["--seeds", "-1"], r"seed: must be"),
        (["--samples", "-1"], r"samples: must be from 0"),
        (["--posterior", "none"], r"posterior: a study compares posteriors, got none; leave posterior out"),
        (["--penalties", "0.5:-1"], r"std_penalty: must be a finite number of at least 0, got -1"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_anything_is_written(
    tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        raise_(run(cli.compare, "digits", "--out", tmp_path / "study", *TINY, *more))
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("option", [["--penalties", "0.5"], ["--penalties", "a:b"], ["--seeds", "0;1"]])
def test_lists_that_cannot_be_read_are_usage_errors(tmp_path: Path, option: list[str]) -> None:
    result = run(cli.compare, "digits", "--out", tmp_path / "study", *option)
    assert result.exit_code == 2
    assert "with commas between them" in result.output


@pytest.mark.parametrize("option", [["--lr", "0.5"], ["--limit", "60"], ["--latent", "2"]])
def test_what_a_study_was_started_with_stays_when_something_else_is_refused(compared: Path, option: list[str]) -> None:
    before = (compared / runs.FILE).read_bytes()
    with pytest.raises(OptionError, match=f"{option[0][2:]}: .* was started with .*, got {option[1]}; leave it"):
        raise_(run(cli.compare, "digits", "--out", compared, "--resume", *option))
    assert (compared / runs.FILE).read_bytes() == before


def test_a_folder_is_gone_on_with_only_by_the_same_study_on_the_same_rows(
    tmp_path: Path, compared: Path, digits: Data
) -> None:
    with pytest.raises(OptionError, match="exists already; continue it with --resume"):
        raise_(run(cli.compare, "digits", "--out", compared, *SMALL))
    with pytest.raises(OptionError, match="holds a compare, got sweep; use another --out"):
        raise_(run(cli.sweep, "digits", "--out", compared, "--resume"))
    other = tmp_path / "other.npy"
    np.save(other, digits.train.batch(np.arange(100)))
    with pytest.raises(InputError, match=r"other.npy: not the rows that .* was trained on"):
        raise_(run(cli.compare, other, "--out", compared, "--resume"))
    with pytest.raises(CheckpointError, match=r"not a study \(study.json: .*\); leave --resume out"):
        raise_(run(cli.compare, "digits", "--out", tmp_path, "--resume"))


def test_a_table_is_studied_as_it_was_asked_to_be_read_on_resuming_too(tmp_path: Path) -> None:
    table, out = tmp_path / "table.csv", tmp_path / "study"
    lines = (f"{i},{math.sin(i) * 1e4},{('red', 'green')[i % 2]},{i % 3}" for i in range(60))
    table.write_text("\n".join(["id,income,colour,zip", *lines]))
    tiny = ["--hidden", "4", "--latent", "2", "--epochs", "1", "--device", "cpu", "--threads", "1", "--samples", "0"]
    reading = ["--column", "id=drop", "--column", "zip=categorical", "--test-every", "4"]
    ok(cli.compare, table, "--out", out, "--seeds", "3", *PAIR, *tiny, *reading)
    ok(cli.compare, table, "--out", out, "--resume", "--seeds", "3,5")
    found = msgspec.json.decode((out / compare.FILE).read_bytes(), type=compare.Comparison)
    assert (found.space.training_rows, found.space.test_rows) == (45, 15)
    assert [column.name for column in found.study.columns] == ["income", "colour", "zip"]
    for path in (out / runs.RUNS).iterdir():
        assert (read_run(path).record.reading, read_run(path).record.columns) == (
            found.study.reading,
            found.study.columns,
        )
    with pytest.raises(OptionError, match=r"test_every: .* was started with 4, got 5; leave it out"):
        raise_(run(cli.compare, table, "--out", out, "--resume", "--test-every", "5"))


def test_signals_are_swept_where_the_layout_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "signals.npy", np.random.default_rng(0).normal(size=(40, 2, 16)).astype(np.float32))
    words = ["--layout", "signal", "--latent", "2", "--epochs", "1", "--device", "cpu", "--threads", "1"]
    ok(cli.sweep, tmp_path / "signals.npy", "--out", tmp_path / "study", "--beta", "1", "--seeds", "0", *words)
    assert runs.read(tmp_path / "study", "sweep").config.input_shape == (2, 16)


def test_without_matplotlib_a_study_does_not_begin(
    tmp_path: Path, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"config": config_for(digits), "options": Options(), "data": "digits", "data_sha256": "0", "draws": 0}
    for module, door, kind in ((compare, compare.compare, "compare"), (sweep, sweep.sweep, "sweep")):
        monkeypatch.setattr(module, "pictures_available", lambda: False)
        with pytest.raises(MissingExtra, match=r"draws a picture; pip install 'reparam\[report\]'"):
            door(digits, runs.Study(kind=kind, seeds=(0,), **known), out=tmp_path / "study")  # type: ignore[arg-type, operator]
    assert not (tmp_path / "study").exists()
