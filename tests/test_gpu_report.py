"""The report of a card keeps its form: a dry run on the CPU writes it whole; what is missing is named in one line."""

import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reparam.errors import OptionError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu"


def run(*options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


@pytest.fixture
def form(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPT))
    return importlib.import_module("report")


@pytest.mark.slow
def test_a_dry_run_writes_the_whole_report_and_says_that_it_is_none_of_a_card(tmp_path: Path, form: Any) -> None:
    done = run("--device", "cpu", "--quick", "--skip-tests", "--models", "mnist", "--out", tmp_path, "--work", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "gpu-report.json"), str(tmp_path / "gpu-report.md")]
    report = msgspec.json.decode((tmp_path / "gpu-report.json").read_bytes(), type=form.GpuReport)
    assert (report.device, report.tests) == ("cpu", None)
    (model,) = report.models
    assert model.name == "mnist"
    spans = {(group.operation, group.batch, group.span): group for group in model.groups}
    assert set(spans) == {(op, batch, s) for op in ("encode", "decode") for batch in (1, 8) for s in ("host", "device")}
    for (operation, _, span), group in spans.items():
        arms = {arm.arm: arm for arm in group.arms}
        assert set(arms) == ({"numpy", "pinned", "torch"} if span == "host" else {"device", "torch"})
        assert all(arm.rounds and arm.reason is None and 0 <= arm.error < 1e-3 for arm in arms.values())
        # products of 784-200-200-50 (and twice 50) or 50-200-200-784, two operations each
        widths = (784, 200, 200, 100) if operation == "encode" else (50, 200, 200, 784)
        products = sum(one * other for one, other in itertools.pairwise(widths))
        assert group.operations == 2 * group.batch * products
        assert group.least_bytes <= group.layer_bytes
        assert 0 < group.floor_seconds <= group.layers_floor_seconds
    assert any(answer.question == "Which device?" for answer in model.answers)
    page = (tmp_path / "gpu-report.md").read_text()
    assert "A dry run: no card was asked for, and no figure here is one of a card." in page
    assert page == form.page(report)


@pytest.mark.skipif("sys.platform != 'linux'", reason="CUDA's libraries are looked up on Linux alone")
def test_without_a_card_one_line_says_what_is_missing(tmp_path: Path) -> None:
    from reparam.engine.device import missing_for_cuda

    if not (missing := missing_for_cuda()):
        pytest.skip("there is a card here")
    done = run("--out", tmp_path)
    assert (done.returncode, done.stdout) == (5, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: gpu: missing here: ")
    assert missing[0] in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_model_that_fails_is_told_and_the_next_one_measured(tmp_path: Path, form: Any) -> None:
    (tmp_path / "kl64-32").mkdir()
    (tmp_path / "kl64-32" / "manifest.json").write_text("{}")
    more = ("--models", "kl64-32,mnist", "--seconds", 0.05, "--out", tmp_path, "--work", tmp_path)
    done = run("--device", "cpu", "--quick", "--skip-tests", *more)
    assert done.returncode == 6, done.stderr
    report = msgspec.json.decode((tmp_path / "gpu-report.json").read_bytes(), type=form.GpuReport)
    (told,) = report.failed
    assert told.startswith("kl64-32: BundleError: ")
    assert f"- {told}" in (tmp_path / "gpu-report.md").read_text()
    assert [(model.name, len(model.groups)) for model in report.models] == [("mnist", 8)]


def test_what_pytest_says_is_counted(tmp_path: Path, form: Any) -> None:
    commands = importlib.import_module("commands")
    told = tmp_path / "tests.xml"
    told.write_text(
        '<testsuites><testsuite><testcase name="one"/><testcase name="two"><failure message="it broke&#10;here"/>'
        '</testcase><testcase name="three"><skipped message="needs a card"/></testcase></testsuite></testsuites>'
    )
    wanted = form.Tests(passed=1, failed=("two: it broke",), skipped=("three: needs a card",))
    assert commands.read_tests(told) == wanted


@pytest.fixture
def report(form: Any) -> Any:
    """One model on a card."""
    from reparam.benchmark.report import Card, Machine

    machine = Machine(
        system="Linux",
        processor="Processor",
        cores=2,
        affinity=2,
        quota=None,
        int8_instructions=False,
        memory_bytes=None,
        load_before=None,
        load_after=None,
        cards=(Card(name="Some Card", driver="580.1", memory_bytes=80 * 2**30),),
    )
    arms = (
        form.Timed(arm="cuda-graph", error=0.0, rounds=(1e-3, 3e-3, 2e-3), ratios={"torch": 0.25}),
        form.Timed(arm="torch", error=1e-6, rounds=(8e-3, 8e-3, 8e-3)),
        form.Timed(arm="torch-reduce-overhead", error=0.0, reason="it does not compile"),
    )
    group = form.Group(
        operation="encode",
        precision="fp16",
        batch=1,
        span="host",
        operations=2,
        least_bytes=4,
        layer_bytes=8,
        floor_seconds=1e-6,
        layers_floor_seconds=2e-6,
        arms=arms,
    )
    model = form.Measured(
        name="some",
        id="0",
        input=(2,),
        latent=(1,),
        parameters=3,
        device_bytes={"fp16": 5 * 2**20},
        groups=(group,),
    )
    return form.GpuReport(
        started="2026-01-01T00:00:00Z",
        device="cuda",
        quick=False,
        machine=machine,
        versions={"onnxruntime-gpu": "1.0"},
        rates=form.Rates(bytes_a_second=2e12, operations_a_second={"fp16": 9e14}),
        tests=form.Tests(passed=1, failed=("one: it broke",), skipped=()),
        models=(model,),
    )


def test_an_arm_that_was_not_timed_is_told_with_its_reason_and_a_card_with_its_name(form: Any, report: Any) -> None:
    page = form.page(report)
    for line in (
        "Some Card, driver 580.1, 80 GiB",
        "onnxruntime-gpu 1.0",
        "Tests: 1 passed, 1 failed, 0 skipped\n- one: it broke",
        "A large copy moves 2e+03 GB/s; products do 900 in fp16 Tflop/s (TF32 off).",
        "Memory on the card after the largest batch: fp16 5 MiB.",
        "cuda-graph 2 (0.25); torch 8; torch-reduce-overhead not timed: it does not compile | 0.001 | 0.002 |",
    ):
        assert line in page
    assert "dry run" not in page


def test_a_report_is_added_to_one_of_the_same_card_and_versions_alone(tmp_path: Path, form: Any, report: Any) -> None:
    place = tmp_path / "gpu-report.json"
    form.write(report, tmp_path)
    known = {name: getattr(report, name) for name in ("device", "quick", "machine", "versions")}
    assert form.read(place, **known) == report
    for change, told in (
        ({"versions": {"onnxruntime-gpu": "2.0"}}, r"other versions \(.*1\.0.*2\.0"),
        ({"quick": True}, r"other models \(--quick\)"),
        ({"device": "cpu"}, r"other device \(cuda, here cpu\)"),
    ):
        with pytest.raises(
            OptionError, match=rf"^--add: .*gpu-report.json was measured with {told}.*; leave --add out"
        ):
            form.read(place, **known | change)
    place.write_text("{}")
    with pytest.raises(OptionError, match=r"^--add: .*gpu-report.json: not a report of a card \(.*\); leave --add out"):
        form.read(place, **known)


def test_what_was_measured_of_a_model_stays_where_it_is_not_measured_again(form: Any, report: Any) -> None:
    (before,) = report.models
    empty = msgspec.structs.replace(before, groups=(), device_bytes={}, notes=("no time was left",))
    (found,) = form.with_model(report, empty).models
    assert (found.groups, found.device_bytes, found.notes) == (before.groups, before.device_bytes, empty.notes)
    group = msgspec.structs.replace(before.groups[0], operations=3)
    more = msgspec.structs.replace(group, batch=8)
    (found,) = form.with_model(report, msgspec.structs.replace(before, groups=(group, more))).models
    assert found.groups == (group, more)
    other = msgspec.structs.replace(empty, id="1")  # another bundle of the name
    assert form.with_model(report, other).models == (other,)
    third = msgspec.structs.replace(empty, name="third")
    assert form.with_model(report, third).models == (before, third)


def test_a_model_that_is_none_is_refused_with_the_names_of_all(tmp_path: Path) -> None:
    done = run("--device", "cpu", "--skip-tests", "--models", "mnist,cats", "--out", tmp_path, "--work", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --models: 'cats' is none of mnist, digits, conv64, kl512\n"
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_time_left_writes_a_report_without_models(tmp_path: Path, form: Any) -> None:
    done = run("--device", "cpu", "--quick", "--skip-tests", "--minutes", 0, "--out", tmp_path, "--work", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["no time is left for mnist", "no time is left for kl64-32"]
    assert msgspec.json.decode((tmp_path / "gpu-report.json").read_bytes(), type=form.GpuReport).models == ()
