import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from reparam.errors import MissingExtra
from reparam_train import tensorboard
from reparam_train.checkpoint import METRICS
from reparam_train.cli import train

TINY = ["--net", "mlp", "--hidden", "8", "--latent", "2", "--limit", "60", "--validate-every", "1", "--no-pictures"]


def command(run: Path, *more: str) -> list[str]:
    return ["digits", "--out", str(run), *TINY, "--tensorboard", *more]


def points(run: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run / tensorboard.FOLDER))
    events.Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.filterwarnings("default::DeprecationWarning")  # of tensorboard's own imports
def test_a_run_that_goes_on_has_each_point_once_and_as_in_the_metrics(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="of the extra `tensorboard`")
    run = tmp_path / "run"
    assert CliRunner().invoke(train, command(run, "--epochs", "3")).exit_code == 0
    for name in ("checkpoint.pt", "checkpoint.pt.sha256"):  # a machine lost the last checkpoint, not the log
        (run / name).write_bytes((run / name.replace(".pt", ".previous.pt")).read_bytes())
    hash_file = run / "checkpoint.pt.sha256"
    hash_file.write_text(hash_file.read_text().replace("previous.", ""))
    again = CliRunner().invoke(train, command(run, "--epochs", "4", "--resume"))
    assert again.exit_code == 0, again.output
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    found = points(run)
    assert set(found) == {"train/loss", "test/elbo", "test/rate", "test/distortion"}
    assert [step for step, _ in found["test/elbo"]] == [line["step"] for line in lines] == [1, 2, 3, 4]
    for name, values in found.items():
        assert [value for _, value in values] == pytest.approx(
            [line[name.replace("/", "_")] for line in lines], rel=1e-6
        )


def test_without_tensorboard_the_line_that_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda _: None)
    done = CliRunner().invoke(train, command(tmp_path / "run", "--epochs", "1"))
    assert isinstance(done.exception, MissingExtra)
    assert str(done.exception) == "--tensorboard needs tensorboard; pip install 'reparam[tensorboard]'"
    assert not (tmp_path / "run").exists()
