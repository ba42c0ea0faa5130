"""The programs of a GPU report that have a process of their own: pytest, and `reparam benchmark` for each model."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from models import ROOT, Model
from report import Tests

from reparam.benchmark.report import Answer, read_report

_SAID = re.compile(r"(\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED)")


def run_tests(work: Path, *, seconds: float) -> Tests:
    """The tests marked `gpu`, in a process of their own that is ended after so long; what it said is left in a folder.

    Plugins of other packages are left out, and warnings too are no errors where no test asks for that: both belong to
    the machine.
    """
    work.mkdir(parents=True, exist_ok=True)
    told, log = (work / "tests.xml").resolve(), work / "tests.log"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-p", "pytest_timeout", "-W", "default"]
    command += ["--timeout=120", f"--junitxml={told}", "tests/gpu", "tests/export/test_dlpack.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUNBUFFERED": "1"}
    print(f"tests, into {log} ...", file=sys.stderr)
    with (
        log.open("w") as out,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT) as tests,
    ):
        try:
            tests.wait(seconds)
        except subprocess.TimeoutExpired:  # a call into CUDA that never ends hears no signal but this one
            tests.kill()
    print(log.read_text()[-4000:], file=sys.stderr)
    if told.exists():
        return read_tests(told)
    said = dict(_SAID.findall(log.read_text()))
    by = {kind: tuple(name for name, found in said.items() if found == kind) for kind in set(said.values())}
    bad = (*by.get("FAILED", ()), *by.get("ERROR", ()), f"pytest ended with {tests.returncode} before its end")
    return Tests(passed=len(by.get("PASSED", ())), failed=bad, skipped=by.get("SKIPPED", ()))


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
    else:
        options += model.asked
    run = "import sys; from reparam.cli.main import main; sys.argv[0] = 'reparam'; main()"
    command = [sys.executable, "-c", run, "benchmark", model.bundle, *options]
    try:
        code = subprocess.run([*map(str, command)], check=False, stdout=sys.stderr, timeout=600).returncode
    except subprocess.TimeoutExpired:
        code = -1
    if not out.exists():
        told = f"reparam benchmark ended with {code} and wrote no report"
        return (Answer(question="reparam benchmark?", answer=told),)
    return read_report(out).answers
