"""`reparam benchmark` on a small bundle: the whole report, and what its options promise."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest

from reparam.benchmark.report import Report
from reparam.testing import tiny_bundle

# an onnxruntime without DLPack has no device arrays
RUNNING = ("numpy", "pinned", *(("device",) if hasattr(onnxruntime.OrtValue, "from_dlpack") else ()))
SHORT = ("--devices", "cpu", "--precisions", "fp32", "--operations", "decode", "--seconds", "1")
OPTIONS = ("--devices", "cpu", "--precisions", "fp32,int8", "--paths", "numpy,pinned,device,cuda-graph")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("benchmark") / "tiny")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports") / "report.json"


@pytest.fixture(scope="module")
def whole(folder: Path, out: Path) -> Report:
    """One benchmark, long enough for all its parts."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "reparam.cli.main", "benchmark", str(folder), *OPTIONS, "--threads", "1"]
    batches = ["--batches", "1,3,8", "--seconds", "8", "--json", "--out", str(out)]
    done = subprocess.run([*command, *batches], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    report = msgspec.json.decode(done.stdout, type=Report)  # stdout is the document and nothing else
    assert report == msgspec.json.decode(out.read_bytes(), type=Report)
    return report


def test_every_combination_is_in_the_report_timed_or_with_its_reason(whole: Report) -> None:
    names = {arm.name for arm in whole.arms}
    assert names == {
        f"{operation}.cpu.{precision}.{path}.t1"
        for operation in ("encode", "decode", "reconstruct")
        for precision in ("fp32", "int8")
        for path in ("numpy", "pinned", "device", "cuda-graph")
    }
    for arm in whole.arms:
        if arm.precision == "int8":
            assert (arm.status, arm.points) == ("unavailable", ())
            assert "precision: tiny has fp32, got int8; export it" in (arm.reason or "")
        elif arm.path == "cuda-graph":
            assert arm.status == "unavailable"
            assert "CUDA" in (arm.reason or "")
        elif arm.path not in RUNNING:
            assert arm.status == "unavailable"
            assert "whose OrtValue has from_dlpack" in (arm.reason or "")
        else:
            assert (arm.status, arm.reason) == ("timed", None)


def test_what_was_timed_has_passed_the_gate_and_says_where_it_ran(whole: Report) -> None:
    for arm in (arm for arm in whole.arms if arm.status == "timed"):
        assert arm.gate is not None
        assert arm.gate.passed
        assert arm.gate.batches == (1, 3, 8)
        assert set(arm.gate.worst) == ({"mean", "logvar"} if arm.operation == "encode" else {"x_hat"})
        assert (arm.provider_requested, arm.provider_active) == ("CPUExecutionProvider",) * 2
        assert arm.placement is not None
        assert arm.waits
        assert arm.copies


def test_percentiles_and_mlperf_s_streams_follow_from_the_samples_of_the_json_alone(whole: Report, out: Path) -> None:
    arms = [arm for arm in json.loads(out.read_bytes())["arms"] if arm["status"] == "timed"]
    assert len(arms) == len([arm for arm in whole.arms if arm.status == "timed"]) == 3 * len(RUNNING)
    for arm in arms:
        found = {}
        for point in arm["points"]:
            samples = np.concatenate([np.asarray(visit) for visit in point["visits"]])
            found[point["batch"]] = dict(zip((50, 90, 99), np.percentile(samples, [50, 90, 99]).tolist(), strict=True))
            assert [point["latency"][f"p{q}_ns"] for q in (50, 90, 99)] == list(found[point["batch"]].values())
        terms = arm["scenarios"]
        assert terms["single_stream"] == {"rows": 1, "percentile": 90, "latency_ns": found[1][90]}
        assert terms["multi_stream"] == {"rows": 8, "percentile": 99, "latency_ns": found[8][99]}
        best = max(batch / times[50] for batch, times in found.items())
        assert terms["offline"]["rows_per_second"] == pytest.approx(1e9 * best)


def test_server_has_trials_whose_issued_rate_is_told(whole: Report) -> None:
    for arm in (arm for arm in whole.arms if arm.status == "timed"):
        assert arm.scenarios is not None
        server = arm.scenarios.server
        assert server is not None
        assert server.max_batch == (
            1 if arm.path == "pinned" else arm.scenarios.offline and arm.scenarios.offline.batch
        )
        for trial in server.trials:
            assert trial.queries >= 1
            if trial.held:
                assert abs(trial.issued / trial.asked - 1) <= 0.02
                assert trial.p99_ns < server.bound_ns


def test_memory_load_and_first_call_come_from_processes_of_their_own(whole: Report) -> None:
    fresh = [arm.fresh for arm in whole.arms if arm.fresh and arm.fresh.load_ns is not None]
    assert fresh
    for each in fresh:
        assert each.host_before_bytes is not None
        assert each.host_peak_bytes is not None
        assert 2**20 < each.host_before_bytes < each.host_peak_bytes
        assert each.device_peak_bytes is None
        assert each.first_call_ns is not None


def test_cost_over_rows_and_batches_is_fitted_and_what_is_fixed_is_said_to_be(whole: Report) -> None:
    for arm in (arm for arm in whole.arms if arm.status == "timed"):
        over = {line.over: line for line in arm.scaling}
        assert over["batch"].n == (1, 3, 8)
        if arm.path == "numpy":
            assert over["rows"].n == (8, 16, 32, 64)
    assert set(whole.not_scaled) == {"image", "latent"}


def test_the_machine_and_what_measuring_costs_are_told(whole: Report) -> None:
    assert whole.overhead is not None
    assert 0 < whole.overhead.clock_ns < whole.overhead.timed_ns
    assert whole.machine.processor
    assert whole.machine.affinity >= 1
    assert {"reparam", "python", "numpy"} <= set(whole.versions)
    assert whole.bundle.name == "tiny"
    assert len(whole.bundle.manifest_sha256) == 64


def test_a_floor_that_is_missed_ends_with_six_and_one_that_is_held_with_zero(
    folder: Path, cli: Callable[..., Any]
) -> None:
    done = cli("benchmark", folder, *SHORT, "--batches", "1,4", "--quick", "--floor", "decode.cpu.fp32.numpy@4=1")
    assert (done.code, done.err) == (0, "")
    assert "floor decode.cpu.fp32.numpy@4=1: held" in done.out
    ratio = "decode.cpu.fp32.numpy@1/decode.cpu.fp32.numpy@4=1000"
    done = cli("benchmark", folder, *SHORT, "--batches", "1,4", "--quick", "--floor", ratio)
    assert done.code == 6
    assert f"floor {ratio}: decode.cpu.fp32.numpy." in done.err
    assert "wanted is 1000" in done.err


def test_an_older_report_is_held_against_the_new_one(
    whole: Report, folder: Path, out: Path, cli: Callable[..., Any]
) -> None:
    done = cli("benchmark", folder, *SHORT, "--batches", "1", "--threads", "1", "--compare", out, "--json")
    assert done.code == 0
    comparison = msgspec.json.decode(done.out, type=Report).comparison
    assert comparison is not None
    assert comparison.old_started == whole.started
    assert {(move.arm, move.batch) for move in comparison.moves} == {
        ("decode.cpu.fp32.numpy.t1", 1),
        ("decode.cpu.fp32.pinned.t1", 1),
    }
    assert "encode.cpu.fp32.numpy.t1" in comparison.only_old


def test_a_report_never_takes_the_place_of_a_file_of_the_bundle(folder: Path, cli: Callable[..., Any]) -> None:
    before = (folder / "manifest.json").read_bytes()
    done = cli("benchmark", folder, "--out", folder / "manifest.json")
    assert (done.code, done.out) == (2, "")
    assert "lies in the bundle that is measured; choose another place" in done.err
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_an_old_report_that_is_a_pipe_is_refused_at_once(folder: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    os.mkfifo(tmp_path / "old.json")
    done = cli("benchmark", folder, "--compare", tmp_path / "old.json")
    assert (done.code, done.out) == (4, "")
    assert "old.json: cannot be read (not a regular file); give the report that reparam benchmark --out" in done.err


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    folder: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    done = cli("benchmark", folder, "--out", tmp_path / "none" / "report.json")
    assert (done.code, done.out) == (5, "")
    assert "make the folder first" in done.err
    done = cli("benchmark", folder, "--compare", tmp_path / "none.json")
    assert done.code == 4
    assert "no such report" in done.err


def test_a_bundle_that_is_not_the_one_expected_is_refused_before_anything_is_measured(folder: Path) -> None:
    from reparam.benchmark.plan import Wish
    from reparam.benchmark.run import run
    from reparam.cli.common import progress
    from reparam.errors import BundleError

    with pytest.raises(BundleError, match="sha256"):
        run(folder, Wish(expect_sha256="0" * 64), progress=progress)


def test_a_plain_autoencoder_is_held_and_timed_by_its_z(tmp_path: Path, cli: Callable[..., Any]) -> None:
    plain = tiny_bundle(tmp_path / "plain", deterministic=True)
    short = ("--precisions", "fp32", "--paths", ",".join(RUNNING), "--batches", "1,2", "--seconds", "1", "--quick")
    done = cli("benchmark", plain, "--devices", "cpu", *short, "--json")
    assert done.code == 0
    arms = {arm.name.rpartition(".")[0]: arm for arm in msgspec.json.decode(done.out, type=Report).arms}
    assert {arm.status for arm in arms.values()} == {"timed"}
    for path in RUNNING:
        gate = arms[f"encode.cpu.fp32.{path}"].gate
        assert gate is not None
        assert set(gate.worst) == {"z"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal_the_table_is_as_wide_as_that_and_in_a_pipe_as_it_comes(columns: int, folder: Path) -> None:
    import fcntl
    import pty
    import struct
    import subprocess
    import sys
    import termios

    short = ("--devices", "cpu", "--precisions", "fp32", "--paths", "numpy", "--batches", "1,8", "--seconds", "1")
    command = [sys.executable, "-m", "reparam.cli.main", "benchmark", str(folder), *short, "--threads", "1"]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while part := os.read(ours, 65536):
                shown += part
    os.close(ours)
    assert process.returncode == 0
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    head = next(line for line in lines if line.startswith("arm "))
    assert ("load" in head) is (columns == 200)
    assert "rows/s" in head
    assert max(map(len, lines)) <= columns
    assert any("encode.cpu.fp32.numpy.t1" in line for line in lines)


def test_the_help_teaches_by_example(cli: Callable[..., Any]) -> None:
    done = cli("benchmark", "--help")
    assert done.code == 0
    for line in ("reparam benchmark models/mnist --quick", "--floor encode.cpu.fp32.numpy@256=10000", "Exit code 5"):
        assert line in done.out
