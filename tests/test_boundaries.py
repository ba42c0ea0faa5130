"""The house keeps its shape: which root may import which, what every file is for, and names that do not collide."""

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOTS = {"reparam": ROOT / "runtime", "reparam_train": ROOT / "train", "reparam_export": ROOT / "export"}
OURS = set(ROOTS)

# What a root may import of ours and of others; everything else but the standard library is forbidden.
ALLOWED = {
    "reparam": {"reparam", "numpy", "msgspec", "click", "onnxruntime", "matplotlib", "sklearn"},
    "reparam_train": {
        *("reparam", "reparam_train", "numpy", "msgspec", "click", "torch", "tqdm"),
        *("matplotlib", "PIL", "pyarrow"),
    },
    "reparam_export": {
        "reparam",
        "reparam_export",
        "numpy",
        "msgspec",
        "click",
        "torch",
        "onnx",
        "onnx_ir",
        "onnxruntime",
    },
}
# What in export knows our training package, the adapter and the trial export, or a library whose models it takes.
ALSO = {
    "reparam_export/adapters/run.py": {"reparam_train"},
    "reparam_export/preflight.py": {"reparam_train"},
    "reparam_export/adapters/diffusers.py": {"diffusers"},
    "reparam_export/adapters/diffusers_folder.py": {"diffusers"},
    "reparam_export/adapters/pythae_folder.py": {"pythae"},
}

# Rooms of the runtime, ground floor first: a room imports only from rooms above it in this list.
FLOORS = [
    {"errors", "philox"},
    {"integers"},
    {"laws"},
    {"posterior", "arrays", "files", "running", "mixture", "paths", "aggregate", "anomaly"},
    {"bundle"},
    {"engine", "likelihood"},
    {"scores"},
    {"evaluation"},
    {"face", "verification", "pictures", "testing"},
    {"vae"},
    {"jobs", "batching", "benchmark"},
    {"cli"},
]


def files(package: str) -> list[Path]:
    return sorted((ROOTS[package] / package).rglob("*.py"))


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("package", sorted(OURS))
def test_a_root_imports_only_what_it_may(package: str) -> None:
    found = []
    for file in files(package):
        name = str(file.relative_to(ROOTS[package]))
        allowed = ALLOWED[package] | ALSO.get(name, set())
        tops = {module.partition(".")[0] for module in imports(file)} - sys.stdlib_module_names
        found += [f"{name} imports {top}" for top in tops - allowed]
    assert found == []


def test_no_arrow_runs_up_inside_the_runtime() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    found = []
    for file in files("reparam"):
        parts = file.relative_to(ROOTS["reparam"] / "reparam").with_suffix("").parts
        if parts[0] == "__init__":
            continue  # the list of public names
        for module in imports(file):
            names = module.split(".")
            if names[0] != "reparam" or len(names) == 1:
                continue
            if floor[names[1]] > floor[parts[0]]:
                found.append(f"{'/'.join(parts)} imports {module}")
    assert found == []


@pytest.mark.parametrize("package", sorted(OURS))
def test_no_module_is_imported_in_a_circle(package: str) -> None:
    graph = {}
    for file in files(package):
        parts = file.relative_to(ROOTS[package]).with_suffix("").parts
        if parts[-1] == "__init__":
            continue
        graph[".".join(parts)] = {module for module in imports(file) if module.startswith(package + ".")}

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        for step in graph.get(start, set()) - seen:
            seen.add(step)
            if step == goal or reaches(step, goal, seen):
                return True
        return False

    assert [name for name in graph if reaches(name, name, set())] == []


@pytest.mark.parametrize("package", sorted(OURS))
def test_no_submodule_shares_its_name_with_a_public_function(package: str) -> None:
    public = set(importlib.import_module(package).__all__)
    folder = ROOTS[package] / package
    modules = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    functions = {name for name in public if callable(getattr(importlib.import_module(package), name))}
    assert functions & modules == set()


def test_the_map_in_architecture_names_every_file_once_and_no_other() -> None:
    lines = re.findall(r"^\| `([^`]+\.py)` \| (.+) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    mapped = [name for name, _ in lines]
    there = {
        str(file.relative_to(ROOT))
        for package in OURS
        for file in files(package)
        if file.name != "__init__.py" or file.parent.name in OURS
    }
    assert len(mapped) == len(set(mapped))
    assert set(mapped) == there
    assert all(len(told) > 10 for _, told in lines)


def test_every_package_says_what_it_is_and_no_file_is_over_400_lines() -> None:
    for package in OURS:
        for file in files(package):
            tree = ast.parse(file.read_text())
            assert ast.get_docstring(tree), file
            assert len(file.read_text().splitlines()) <= 400, file


def readme_blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    return [text for found, text in fenced if found == language]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder in which models/ lies as in a clone, with the net of the README, and where files may be left."""
    (tmp_path / "models").symlink_to(ROOT / "models", target_is_directory=True)
    (mine,) = [code for code in readme_blocks("python") if "mynets.py" in code]
    (tmp_path / "mynets.py").write_text(mine)
    return tmp_path


def test_the_readme_opens_with_ten_lines_that_run(clone: Path) -> None:
    first = readme_blocks("python")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 10
    done = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True, cwd=clone, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_other_python_of_the_readme_runs(clone: Path) -> None:
    for code in readme_blocks("python")[1:]:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=clone, check=False)
        assert done.returncode == 0, done.stderr


def test_the_commands_that_the_readme_shows_run_in_its_order(clone: Path) -> None:
    lines = [line for block in readme_blocks("") for line in block.splitlines() if line.startswith("reparam ")]
    assert len(lines) >= 10
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        if words[0] in ("train", "demo", "compare", "sweep"):
            words += ["--epochs", "1"]
        if words[0] in ("compare", "sweep"):
            words += ["--seeds", "0", "--samples", "1"]
        command = [sys.executable, "-m", "reparam.cli.main", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=clone, check=False)
        assert done.returncode == 0, (line, done.stderr)


def test_the_readme_shows_every_command_that_the_command_line_lists() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reparam.cli.main", "--help"], capture_output=True, text=True, check=True
    )
    listed = re.findall(r"^  (\w+) {2,}\S", done.stdout[done.stdout.index("Commands:") :], re.MULTILINE)
    assert {"train", "export", "data", "demo", "encode"} <= set(listed)
    readme = (ROOT / "README.md").read_text()
    assert [name for name in listed if f"reparam {name}" not in readme] == []


def test_no_committed_text_names_a_path_of_the_machine_that_made_it() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("no git checkout here, so what is tracked is not known")
    words = [str(ROOT), str(Path.home()) + "/"]
    found = []
    for name in tracked.stdout.split("\0"):
        file = ROOT / name
        if name and file.is_file():
            data = file.read_bytes()
            found += [f"{name}: {word}" for word in words if word.encode() in data]
    assert found == []


def test_the_constraints_fit_the_ranges_of_pyproject() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    )
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    for requirement in map(Requirement, wanted):
        name = requirement.name.lower().replace("_", "-")
        if name in {"reparam", "onnxruntime-gpu"}:
            continue
        assert requirement.specifier.contains(pins[name]), requirement


def test_import_reparam_and_the_train_and_export_doors_load_no_heavy_library() -> None:
    code = (
        "import reparam, reparam.cli.main, reparam_train.cli, reparam_train.data.cli, reparam_train.study.cli;"
        "import reparam_export.cli, reparam_export.optimum.cli, sys, json;"
        "print(json.dumps([m for m in ('torch', 'onnx', 'onnxruntime', 'onnxscript', 'matplotlib', 'tqdm')"
        " if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


# Where a session of onnxruntime is made: of a graph past the gate, or, in export, of one made from such a graph.
SESSIONS = {
    "reparam/engine/session.py",
    "reparam_export/optimum/originals.py",
    "reparam_export/precision/ranges.py",
}


def test_onnxruntime_is_given_graphs_in_few_places() -> None:
    found = {
        str(file.relative_to(ROOTS[package]))
        for package in OURS
        for file in files(package)
        if "InferenceSession" in file.read_text()
    }
    assert found == SESSIONS
