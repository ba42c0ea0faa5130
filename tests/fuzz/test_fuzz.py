"""The short form of what `make fuzz` runs for long: graphs and bundles at random, in children that may die."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def run(script: str, *arguments: object) -> dict[str, Any]:
    """The counts of a script, once none of its cases ended badly."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    counts, found = map(json.loads, done.stdout.splitlines())
    assert found["bad"] == [], found
    assert done.returncode == 0, done.stderr
    counts = {how: count for how, count in counts.items() if isinstance(count, int)}
    assert sum(counts.values()) - counts["seed"] - counts.get("tried-again", 0) == 2 * counts["cases"]
    return counts


def test_random_graphs_within_the_limits_bring_nothing_down_and_have_the_sizes_that_the_rules_say() -> None:
    counts = run("graphs.py", "--count", 3000)
    assert counts["ran"] + counts["ran-bare"] > 2000


def test_no_damaged_bundle_is_accepted() -> None:
    counts = run("bundles.py", "--count", 2500)
    assert all(how.endswith(("refused", "unchanged")) or how in ("seed", "cases", "tried-again") for how in counts)
    assert counts["graph-refused"] > 1000


def test_a_damaged_bundle_whose_hashes_fit_is_refused_or_runs() -> None:
    counts = run("bundles.py", "--count", 2500, "--rehash")
    assert counts["graph-loaded"] > 100
    assert counts["graph-refused"] > 500


def test_a_child_that_dies_is_told_with_its_case(tmp_path: Path) -> None:
    script = tmp_path / "dying.py"
    script.write_text(
        "import argparse, os, sys, time\n"
        f"sys.path.insert(0, {str(HERE)!r})\n"
        "from children import main, wrong\n"
        "def case(seed, number):\n"
        "    if number == 3: os.abort()\n"
        "    if number == 5: time.sleep(60)\n"
        "    if number == 7: wrong('odd')\n"
        "    if number == 8: raise KeyError('x')\n"
        "    return 'fine'\n"
        "main(__file__, case, argparse.ArgumentParser(), count=10)\n"
    )
    done = subprocess.run([sys.executable, script, "--limit", "1"], capture_output=True, text=True, check=False)
    counts, found = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert counts["fine"] == 7
    assert [case for case, _ in found["bad"]] == [3, 5, 7, 8]
    assert [told.split(":")[0] for _, told in found["bad"]] == ["SIGABRT", "took more than 1 s, twice", "odd", "exit 1"]


@pytest.mark.parametrize("seed", [0, 9])
def test_a_graph_is_a_function_of_seed_and_number(seed: int) -> None:
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); from operands import draw; import hashlib; "
    code += f"print(hashlib.sha256(b''.join(draw({seed}, n).data for n in range(40))).hexdigest())"
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == second
