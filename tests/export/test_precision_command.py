"""`reparam export --precision`: the command calibrates, measures and tells; what it cannot honour it refuses."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import reparam
from reparam.cli.verify import verify
from reparam.engine.instructions import NO_INT8, has_int8
from reparam.errors import ReparamError
from reparam_export.cli import export
from reparam_train.cli import train
from reparam_train.evaluators import rows

integers = pytest.mark.skipif(not has_int8(), reason=NO_INT8)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = ["--net", "mlp", "--hidden", "16", "--latent", "3", "--epochs", "1", "--limit", "200", "--threads", "1"]
    done = CliRunner().invoke(train, ["digits", "--out", str(folder), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder


@integers
def test_the_command_calibrates_on_training_rows_and_tells_what_each_precision_costs(
    run_folder: Path, tmp_path: Path
) -> None:
    options = ["--precision", "fp32,fp16,int8", "--calibrate", "digits", "--calibrate-rows", "64", "--keep-slower"]
    done = CliRunner().invoke(export, [str(run_folder), str(tmp_path / "b"), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.partition(":")[0] for line in lines[-2:]] == ["fp16", "int8"]
    assert all("times as fast at batch 256" in line and "nats a row" in line for line in lines[-2:])
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert [each["rows"] for each in manifest["variants"]] == [64, 64]
    x = rows("digits", split="train", limit=64, target=run_folder)
    with reparam.load(tmp_path / "b", device="cpu", precision="int8") as vae:
        told = manifest["variants"][1]["negative_elbo"]
        assert vae.evaluate(x, seed=0).negative_elbo == pytest.approx(told, abs=1e-4)
    verified = CliRunner().invoke(verify, [str(tmp_path / "b"), "--device", "cpu"], catch_exceptions=False)
    assert verified.exit_code == 0
    assert "int8 on CPUExecutionProvider" in verified.output
    assert "within 0.001 + 0.2 of the largest |value|" in verified.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "fp32,int4"], "--precision: must be some of fp32, fp16, int8"),
        (["--precision", "int8"], "calibrate: int8 takes the range"),
        (["--precision", "fp16", "--calibrate", "nowhere.npy"], "nowhere.npy"),
    ],
)
def test_the_command_refuses_what_cannot_be_honoured(
    options: list[str], message: str, run_folder: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(export, [str(run_folder), str(tmp_path / "b"), *options])
    assert isinstance(done.exception, ReparamError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert list(tmp_path.iterdir()) == []
