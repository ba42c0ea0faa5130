"""A report is one document that says everything, and its schema lies in the repository."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from reparam.benchmark.report import Report, encode_report, read_report, schema, told_fit
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


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        (("machine", "processor"), "\x1b[31mred", r"report.machine.processor: must be one line"),
        (
            ("bundle", "name"),
            "two\nlines",
            r"bundle.name: must be one line of printable text, got 'two\nlines'",
        ),
        (("arms", 3, "name"), "over\u202eride", r"report.arms[3].name: must be one line"),
        (("arms", 0, "notes"), ["fine", "\x07"], r"report.arms[0].notes[1]: must be one line"),
        (("versions", "on\x00nx"), "1", r"report.versions, a key of it: must be one line"),
        (
            ("arms", 0, "placement"),
            {"encoder": {"\x1b": {"Add": 1}}, "decoder": None},
            r"report.arms[0].placement.encoder",
        ),
        (
            ("comparison", "differences"),
            ["x" * 10_001],
            "differences[0]: must be at most 10,000 characters, got 10,001",
        ),
        (("arms", 0, "points", 0, "latency", "p50_ns"), 1e300, r"latency.p50_ns: must be a number within 1e+20"),
        (("arms", 0, "points", 0, "visits"), [[1], [2, 10**40]], "points[0].visits[1]: must be a number within"),
    ],
)
def test_a_report_with_what_no_report_may_hold_is_refused_in_one_line_with_its_key(
    keys: tuple[Any, ...], value: object, told: str, *, tmp_path: Path
) -> None:
    document = json.loads(EXAMPLE.read_bytes())
    part = document
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (tmp_path / "old.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        read_report(tmp_path / "old.json")
    assert told in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_whatever_a_library_said_is_written_so_that_it_can_be_read_again(tmp_path: Path) -> None:
    report = read_report(EXAMPLE)
    loud = msgspec.structs.replace(report.arms[0], notes=("\x1b[2Jcleared\nand more", "y" * 20_000))
    told = told_fit(msgspec.structs.replace(report, arms=(loud, *report.arms[1:])))
    assert told.arms[0].notes[0] == "\\x1b[2Jcleared and more"
    assert len(told.arms[0].notes[1]) == 10_000
    assert told.arms[1:] == report.arms[1:]
    (tmp_path / "new.json").write_bytes(encode_report(told))
    assert read_report(tmp_path / "new.json") == told


def test_a_report_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"none\.json: no such report; write one with reparam benchmark"):
        read_report(tmp_path / "none.json")


def test_a_folder_in_place_of_a_report_is_said_to_be_one_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_report(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder; give the report that reparam benchmark --out wrote"


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
