import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from reparam.errors import MissingExtra, OptionError
from reparam_train import extras
from reparam_train.checkpoint import read_run
from reparam_train.cli import train
from reparam_train.data.cli import data

TINY = [
    "--net",
    "mlp",
    "--hidden",
    "8",
    "--latent",
    "2",
    "--limit",
    "100",
    "--epochs",
    "2",
    "--device",
    "cpu",
    "--no-preflight",
]


def run(command: object, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


def ok(command: object, *arguments: str | Path) -> str:
    result = run(command, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_training_prints_a_summary_for_people(tmp_path: Path) -> None:
    text = ok(train, "digits", "--out", tmp_path / "run", *TINY)
    assert "run: 2 epochs, 4 steps in" in text
    assert "test ELBO -" in text
    assert "nats a row (rate" in text


def test_training_prints_one_json_document_for_programs(tmp_path: Path) -> None:
    found = json.loads(ok(train, "digits", "--out", tmp_path / "run", "--json", *TINY))
    assert set(found) == {
        *("run", "epochs", "steps", "test_elbo", "test_rate", "test_distortion", "seconds", "rows_per_second"),
        "stopped_early",
    }
    assert found["test_elbo"] == read_run(tmp_path / "run").metrics["test_elbo"]


def test_options_reach_the_record(tmp_path: Path) -> None:
    more = ["--activation", "silu", "--likelihood", "gaussian", "--std", "0.2", "--batch-size", "50", "--lr", "0.01"]
    more += ["--adam-eps", "1e-6", "--seed", "9", "--validate-every", "1", "--threads", "1"]
    ok(train, "digits", "--out", tmp_path / "run", *TINY, *more)
    record = read_run(tmp_path / "run").record
    config, options = record.config, record.options
    assert (config.activation, config.likelihood, config.std, config.hidden) == ("silu", "gaussian", 0.2, (8,))
    assert (options.batch_size, options.lr, options.adam_eps, options.seed) == (50, 0.01, 1e-6, 9)
    assert (options.validate_every, options.threads, options.limit, options.epochs) == (1, 1, 100, 2)


def test_a_resumed_run_keeps_the_options_that_are_left_out(tmp_path: Path) -> None:
    ok(train, "digits", "--out", tmp_path / "run", *TINY)
    assert "3 epochs, 6 steps" in ok(train, "digits", "--out", tmp_path / "run", "--resume", "--epochs", "3")
    with pytest.raises(OptionError, match=r"latent: .* was started with 2, got 5"):
        raise_(run(train, "digits", "--out", tmp_path / "run", "--resume", "--latent", "5"))


def test_a_stopped_run_prints_the_line_that_resumes_it(tmp_path: Path) -> None:
    out = tmp_path / "a run"
    command = [sys.executable, "-m", "reparam.cli.main", "train", "digits", "--out", str(out)]
    with subprocess.Popen(
        [*command, *TINY, "--no-pictures", "--epochs", "100000"], stderr=subprocess.PIPE, text=True
    ) as process:
        while not (out / "checkpoint.pt").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    found = re.search(r"stopped by SIGTERM after (\d+) steps; a checkpoint is there; go on with: reparam (.*)", said)
    assert found is not None, said
    line = shlex.split(found[2])
    assert line == ["train", "digits", "--out", str(out), "--resume", "--no-pictures"]
    assert read_run(out).metrics["step"] == int(found[1])


def test_an_existing_run_is_refused(tmp_path: Path) -> None:
    ok(train, "digits", "--out", tmp_path / "run", *TINY)
    with pytest.raises(OptionError, match="exists already"):
        raise_(run(train, "digits", "--out", tmp_path / "run", *TINY))


def raise_(result: Result) -> None:
    assert result.exception is not None
    raise result.exception


def test_widths_that_are_not_numbers_are_a_usage_error(tmp_path: Path) -> None:
    result = run(train, "digits", "--out", tmp_path / "run", "--hidden", "8,wide")
    assert result.exit_code == 2
    assert "must be whole numbers with commas between them" in result.output


def test_features_get_an_mlp_and_a_gaussian_without_being_told(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(40, 5)))
    ok(train, tmp_path / "rows.npy", "--out", tmp_path / "run", "--epochs", "1", "--device", "cpu", "--no-preflight")
    config = read_run(tmp_path / "run").record.config
    assert (config.net, config.likelihood, config.input_shape) == ("mlp", "gaussian", (5,))


def test_what_must_not_change_about_reading_is_kept_or_refused_on_resuming(tmp_path: Path) -> None:
    rows = tmp_path / "table.csv"
    rows.write_text("\n".join(["a,b,c", *(f"{i},{i % 3 / 2},{'xy'[i % 2]}" for i in range(40))]))
    ok(train, rows, "--out", tmp_path / "run", *TINY, "--test-every", "4", "--column", "a=drop")
    found = read_run(tmp_path / "run").record
    assert (found.reading.test_every, found.test_rows) == (4, 10)
    assert [column.name for column in found.columns] == ["b", "c"]
    assert "3 epochs" in ok(train, rows, "--out", tmp_path / "run", "--resume", "--epochs", "3")
    with pytest.raises(OptionError, match=r"test_every: .* was started with 4, got 5"):
        raise_(run(train, rows, "--out", tmp_path / "run", "--resume", "--test-every", "5"))
    with pytest.raises(OptionError, match=r"column: .*run was started with its columns; leave column out"):
        raise_(run(train, rows, "--out", tmp_path / "run", "--resume", "--column", "a=gaussian"))


@pytest.mark.parametrize("value", ["colour", "colour=ordinal", "=drop="])
def test_a_column_that_is_no_name_and_kind_is_a_usage_error(tmp_path: Path, value: str) -> None:
    result = run(train, "digits", "--out", tmp_path / "run", "--column", value)
    assert result.exit_code == 2
    assert "must be NAME=KIND with KIND one of gaussian, bernoulli, categorical, drop" in " ".join(
        result.output.split()
    )


def test_every_option_says_its_meaning_and_default() -> None:
    for parameter in train.params:
        text = getattr(parameter, "help", None)
        if parameter.name not in ("data", "out", "resume", "as_json", "dry_run", "tensorboard"):
            assert "[default: " in (text or ""), parameter.name


def test_a_split_is_written_in_the_units_of_the_model(tmp_path: Path) -> None:
    ok(data, "digits", "--split", "test", "--out", tmp_path / "x.npy", "--labels", tmp_path / "y.npy")
    x, y = np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy")
    assert (x.shape, x.dtype, x.min(), x.max()) == ((299, 1, 8, 8), np.float32, 0, 1)
    assert (y.shape, y.dtype, y.max()) == ((299,), np.uint8, 9)
    ok(data, "digits", "--split", "train", "--out", tmp_path / "x.npy")
    assert np.load(tmp_path / "x.npy").shape == (1498, 1, 8, 8)


def test_labels_that_a_source_lacks_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((10, 2), np.uint8))
    result = run(data, tmp_path / "rows.npy", "--out", tmp_path / "x.npy", "--labels", tmp_path / "y.npy")
    with pytest.raises(OptionError, match=r"labels: .* has none; leave --labels out"):
        raise_(result)
    assert not (tmp_path / "x.npy").exists()


def test_rows_and_labels_need_a_file_each(tmp_path: Path) -> None:
    result = run(data, "digits", "--out", tmp_path / "x.npy", "--labels", tmp_path / "x.npy")
    with pytest.raises(OptionError, match=r"labels: must be another file than --out, got .*x.npy for both"):
        raise_(result)
    assert not (tmp_path / "x.npy").exists()


def test_the_command_modules_load_without_torch() -> None:
    code = (
        "import sys, reparam_train, reparam_train.cli, reparam_train.data.cli; "
        "print([name for name in ('torch', 'tqdm', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_can_be_had() -> None:
    import reparam_train

    for name in reparam_train.__all__:
        assert getattr(reparam_train, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = reparam_train.nothing


def test_a_missing_package_names_the_pip_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(MissingExtra, match=r"train needs torch: pip install 'reparam\[train\]'"):
        raise_(run(train, "digits", "--out", tmp_path / "run"))
