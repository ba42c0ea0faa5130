"""docs/story.md: its links lead somewhere, its commands parse, and its numbers are those of the documents beside it."""

import importlib
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
STORY = (DOCS / "story.md").read_text()
COMPARED = json.loads((DOCS / "compare.json").read_text())
SWEPT = json.loads((DOCS / "sweep.json").read_text())
NAMES = {"autoencoder": "plain autoencoder", "vae": "VAE"}


def commands() -> list[list[str]]:
    fenced = re.findall(r"^```\n(.*?)^```$", STORY, re.DOTALL | re.MULTILINE)
    lines = [line for block in fenced for line in block.splitlines() if line.startswith("reparam ")]
    return [shlex.split(line)[1:] for line in lines]


def parsed(words: list[str]) -> dict[str, Any]:
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["reparam.commands"]
    module, _, name = entries[words[0]].partition(":")
    command: click.Command = getattr(importlib.import_module(module), name)
    return command.make_context(words[0], words[1:]).params


def cell(arm: dict[str, Any], field: str, form: str, *, sign: int = 1) -> str:
    mean, spread = arm["mean"][field], arm["spread"][field]
    return "-" if mean is None else f"{sign * mean:{form}} ± {spread:{form}}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def compare_row(arm: dict[str, Any]) -> str:
    name = NAMES.get(arm["name"], "moments " + arm["name"].removeprefix("moments-").replace("-", ", "))
    return row(
        name,
        cell(arm, "frechet", ".3f"),
        cell(arm, "frechet_posterior", ".3f"),
        cell(arm, "nll", ".1f", sign=-1),
        cell(arm, "elbo", ".1f"),
        cell(arm, "rate", ".1f"),
        cell(arm, "distortion", ".1f"),
        cell(arm, "posterior_std", ".3f"),
        cell(arm, "code_scale", ".2f"),
    )


def sweep_row(point: dict[str, Any]) -> str:
    arm = point["arm"]
    return row(
        f"{point['beta']:g}",
        cell(arm, "rate", ".1f"),
        cell(arm, "distortion", ".1f"),
        cell(arm, "elbo", ".1f"),
        cell(arm, "nll", ".1f", sign=-1),
        cell(arm, "active_units", ".1f"),
        cell(arm, "frechet", ".3f"),
    )


def table(name: str) -> list[str]:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", STORY, re.DOTALL)
    assert found is not None
    return found[1].splitlines()[2:]


def test_every_link_of_the_story_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)]+)\)", STORY)
    assert len(links) > 15
    assert [link for link in links if not (DOCS / link).is_file()] == []


def test_its_commands_parse_and_are_those_that_made_its_documents() -> None:
    compare, sweep = map(parsed, commands())
    for params, found in ((compare, COMPARED), (sweep, SWEPT)):
        study = found["study"]
        assert study["data"] == params["data"]
        for part in (study["config"], study["options"]):
            for name in part.keys() & params.keys() - {"beta", "samples"}:  # of the study, not of each run
                assert params[name] is None or part[name] == params[name], name
    assert tuple(SWEPT["study"]["betas"]) == sweep["beta"]
    assert COMPARED["study"]["seeds"] == SWEPT["study"]["seeds"] == [0, 1, 2]


@pytest.mark.parametrize("name", ["compare", "sweep"])
def test_its_tables_are_those_of_the_documents(name: str) -> None:
    rows = [compare_row(arm) for arm in COMPARED["arms"]] if name == "compare" else map(sweep_row, SWEPT["points"])
    assert table(name) == list(rows)


def test_what_it_claims_of_the_autoencoder_the_numbers_show() -> None:
    factor = COMPARED["autoencoder_over_vae"]
    words = re.search(r"are ([\d.]+) times as far from .*? VAE's\*\* \(([\d.]+) to ([\d.]+)\s", STORY, re.DOTALL)
    assert words is not None
    assert words.groups() == tuple(f"{factor[name]:.1f}" for name in ("mean", "lowest", "highest"))
    assert factor["lowest"] > 3  # far worse, for each seed
    by_name = {arm["name"]: arm["mean"]["frechet"] for arm in COMPARED["arms"]}
    assert by_name["vae"] < by_name["moments-0.05-0.1"] < by_name["autoencoder"]
    assert by_name["autoencoder"] < by_name["moments-0.5-1"] < by_name["moments-5-10"]
    assert f"d² = {COMPARED['space']['floor']:.3f}" in STORY
