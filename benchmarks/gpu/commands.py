"""The programs of a GPU report that have a process of their own: pytest, and `reparam benchmark` for each model."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from models import ROOT, Model
from report import Tests

from reparam.benchmark.report import Answer, read_report

_FEW = 4  # rows of the largest batch of a model so large that a row takes the CPU seconds


def run_tests(work: Path) -> Tests:
    """The tests marked `gpu`, in a process of their own; what they said is left in a folder."""
    work.mkdir(parents=True, exist_ok=True)
    told = (work / "tests.xml").resolve()
    told.unlink(missing_ok=True)
    places = ["tests/gpu", "tests/export/test_dlpack.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *places, f"--junitxml={told}"]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=sys.stderr)
    if not told.exists():
        return Tests(passed=0, failed=(f"pytest ended with {done.returncode}",), skipped=())
    return read_tests(told)


def read_tests(path: Path) -> Tests:
    """What pytest wrote of its run."""
    failed: list[str] = []
    skipped: list[str] = []
    passed = 0
    for case in ET.parse(path).iter("testcase"):  # noqa: S314  pytest wrote it here
        bad = [each for each in case if each.tag in ("failure", "error")]
        left = [each for each in case if each.tag == "skipped"]
        told = next((str(each.get("message", "")).partition("\n")[0][:200] for each in (*bad, *left)), "")
        (failed if bad else skipped if left else []).append(f"{case.get('name')}: {told}")
        passed += not bad and not left
    return Tests(passed=passed, failed=tuple(failed), skipped=tuple(skipped))


def answers(model: Model, work: Path, *, device: str, quick: bool) -> tuple[Answer, ...]:
    """What `reparam benchmark` says of a bundle; its report is left in a folder."""
    work.mkdir(parents=True, exist_ok=True)
    out = work / f"benchmark-{model.name}.json"
    out.unlink(missing_ok=True)
    options: list[Any] = ["--devices", "cpu" if device == "cpu" else f"cpu,{device}", "--out", out]
    if quick:
        options += ["--quick", "--seconds", 5, "--precisions", "fp32", "--batches", "1,2", "--operations", "encode"]
    elif max(model.batches) <= _FEW:
        options += ["--batches", ",".join(map(str, model.batches)), "--operations", "encode,decode", "--seconds", 90]
    else:
        options += ["--seconds", 40, "--batches", "1,8,64,256"]
    run = "import sys; from reparam.cli.main import main; sys.argv[0] = 'reparam'; main()"
    command = [sys.executable, "-c", run, "benchmark", model.bundle, *options]
    done = subprocess.run([*map(str, command)], check=False, stdout=sys.stderr)
    if not out.exists():
        told = f"reparam benchmark ended with {done.returncode} and wrote no report"
        return (Answer(question="reparam benchmark?", answer=told),)
    return read_report(out).answers
