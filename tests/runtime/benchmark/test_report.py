"""A report is one document that says everything, and its schema lies in the repository."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from reparam.benchmark.report import Report, encode_report, read_report, schema
from reparam.errors import InputError, InputNotFound

EXAMPLE = Path(__file__).with_name("example_report.json")
SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "benchmark.schema.json"


def settled(part: Any) -> Any:
    """A schema with its alternatives in one order, which versions of msgspec choose differently."""
    if isinstance(part, list):
        return [settled(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {name: settled(value) for name, value in part.items()}
    return found | ({"anyOf": sorted(found["anyOf"], key=str)} if "anyOf" in found else {})


def test_the_schema_in_the_repository_is_that_of_the_structs() -> None:
    assert settled(json.loads(SCHEMA.read_bytes())) == settled(json.loads(schema()))


def test_a_report_comes_back_from_its_bytes_as_it_was(tmp_path: Path) -> None:
    report = read_report(EXAMPLE)
    (tmp_path / "again.json").write_bytes(encode_report(report))
    assert read_report(tmp_path / "again.json") == report


def test_a_key_that_no_struct_has_is_refused_with_the_file(tmp_path: Path) -> None:
    document = json.loads(EXAMPLE.read_bytes())
    document["machine"]["speed"] = "fast"
    (tmp_path / "more.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"more\.json: not a report of this version .*unknown field"):
        read_report(tmp_path / "more.json")


def test_a_report_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"none\.json: no such report; write one with reparam benchmark"):
        read_report(tmp_path / "none.json")


def test_the_percentiles_are_those_that_numpy_finds_in_the_samples_of_the_json_alone() -> None:
    document = json.loads(EXAMPLE.read_bytes())
    points = [point for arm in document["arms"] for point in arm["points"] if point["latency"]]
    assert len(points) > 10
    for point in points:
        found = np.percentile(np.concatenate([np.asarray(visit) for visit in point["visits"]]), [50, 90, 99])
        assert [point["latency"][name] for name in ("p50_ns", "p90_ns", "p99_ns")] == found.tolist()


def test_the_example_holds_every_status_that_a_page_must_show() -> None:
    report = msgspec.json.decode(EXAMPLE.read_bytes(), type=Report)
    assert {arm.status for arm in report.arms} >= {"timed", "unavailable", "wrong"}
    assert {arm.path for arm in report.arms} >= {"numpy", "pinned", "torch", "torch-compile", "cuda-graph"}
