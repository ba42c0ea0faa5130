"""Every failure is one line on stderr that starts with "error: ", its exit code, and nothing written."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam

Cli = Callable[..., Any]
USAGE, BUNDLE, INPUT, ENVIRONMENT, CHECK = 2, 3, 4, 5, 6


def failed(ended: Any, code: int, message: str) -> None:
    assert ended.err.startswith("error: "), ended.err
    assert ended.err.endswith("\n")
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert (ended.code, ended.out) == (code, "")


@pytest.fixture
def folder(tmp_path: Path, bundle: Path, vae: reparam.VAE, rows_of: Callable[[int], Any]) -> Path:
    """A folder with a bundle, good and bad inputs, and an output file that is there already."""
    (tmp_path / "bundle").symlink_to(bundle, target_is_directory=True)
    x = rows_of(5)
    bad = x.copy()
    bad[3] = np.nan
    arrays = {"x": x, "integers": x.astype(int), "one": x[0], "nan": bad, "wide": np.repeat(x, 2, axis=-1)}
    arrays["eps"] = reparam.noise("normal", 7, range(5), vae.manifest.latent.shape)
    arrays["few"] = arrays["eps"][:1]
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "archive.npz", x=x)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "damaged").mkdir()
    for file in bundle.iterdir():
        (tmp_path / "damaged" / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "damaged" / "encoder.onnx").open("r+b") as file:
        file.seek(200)
        file.write(b"\x00\xff\x00\xff")
    (tmp_path / "out.npy").write_bytes(b"before")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("encode bundle x.npy", USAGE, "give --mean, --logvar or both"),
        ("encode bundle", USAGE, "Missing argument 'X'; see reparam encode --help"),
        ("encode bundle x.npy --mean out.npy --color red", USAGE, "No such option"),
        ("encode bundle x.npy --mean out.npy --max-batch 0", USAGE, "--max-batch"),
        ("encode bundle x.npy --mean out.npy --threads none", USAGE, "--threads"),
        ("encode bundle x.npy --mean out.npy --threads 99999999999999", USAGE, "threads: "),
        ("encode bundle x.npy --mean out.npy --device gpu", USAGE, "device: must be auto, cpu, cuda or cuda:N"),
        ("encode bundle x.npy --mean out.npy --logvar out.npy", USAGE, "--logvar"),
        ("encode nowhere x.npy --mean out.npy", BUNDLE, "nowhere: no such folder"),
        ("encode x.npy x.npy --mean out.npy", BUNDLE, "x.npy: a bundle is a folder, this is a file"),
        ("encode damaged x.npy --mean out.npy", BUNDLE, "encoder.onnx: its sha256 is not the manifest's"),
        ("encode bundle nothing.npy --mean out.npy", INPUT, "nothing.npy: no such file"),
        ("encode bundle text.npy --mean out.npy", INPUT, "text.npy: not a readable .npy file"),
        ("encode bundle archive.npz --mean out.npy", INPUT, "archive.npz: "),
        ("encode bundle bundle --mean out.npy", INPUT, "bundle: "),
        ("encode bundle integers.npy --mean out.npy", INPUT, "x: dtype must be float32"),
        ("encode bundle one.npy --mean out.npy", INPUT, "got one row"),
        ("encode bundle nan.npy --mean out.npy", INPUT, "x: must be finite, got nan at row 3"),
        ("encode bundle wide.npy --mean out.npy", INPUT, "x: shape must be [n, "),
        ("encode bundle x.npy --mean nowhere/out.npy", ENVIRONMENT, "out.npy: cannot be written (No such file"),
        ("encode bundle x.npy --mean damaged", ENVIRONMENT, "damaged: "),
        ("encode bundle x.npy --mean out.npy --logvar nowhere/out.npy", ENVIRONMENT, "nowhere/out.npy: cannot"),
        ("sample bundle x.npy --out out.npy", USAGE, "seed"),
        ("sample bundle x.npy --seed 7", USAGE, "Missing option '--out'"),
        ("sample bundle x.npy --seed 7 --eps eps.npy --out out.npy", USAGE, "give exactly one"),
        ("sample bundle x.npy --seed -1 --out out.npy", USAGE, "--seed"),
        ("sample bundle x.npy --seed 18446744073709551616 --out out.npy", USAGE, "--seed"),
        ("sample bundle x.npy --eps eps.npy --first-row 1 --out out.npy", USAGE, "first_row"),
        ("sample bundle x.npy --eps few.npy --out out.npy", INPUT, "eps: must have one row for each row of x, 5"),
        ("sample bundle x.npy --eps nothing.npy --out out.npy", INPUT, "nothing.npy: no such file"),
        ("reconstruct bundle eps.npy --out out.npy", INPUT, "x: shape must be"),
        ("decode bundle x.npy --out out.npy", INPUT, "z: shape must be"),
        ("generate bundle 3 --out out.npy", USAGE, "give --seed, for example --seed 7"),
        ("generate bundle -1 --seed 7 --out out.npy", USAGE, "-1"),
        ("generate bundle many --seed 7 --out out.npy", USAGE, "'N'"),
        ("generate bundle 10000000000000 --seed 7 --out out.npy", ENVIRONMENT, "out.npy.part: 2.6 PB are needed"),
        ("generate nowhere 3 --seed 7 --out out.npy", BUNDLE, "nowhere: no such folder"),
        ("info nowhere", BUNDLE, "nowhere: no such folder"),
        ("info damaged", BUNDLE, "encoder.onnx: its sha256 is not the manifest's"),
        ("verify damaged", BUNDLE, "encoder.onnx: its sha256 is not the manifest's"),
        ("paint bundle", USAGE, "No such command 'paint'; see reparam --help"),
        ("--colour", USAGE, "No such option"),
        ("demo --out damaged", USAGE, "--out: damaged exists; choose a folder that does not"),
        ("demo --out out.npy", USAGE, "--out: out.npy exists; choose a folder that does not"),
    ],
)  # fmt: skip
def test_a_failure_is_one_line_and_its_exit_code(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, *, arguments: str, code: int, message: str
) -> None:
    monkeypatch.chdir(folder)
    words = arguments.split()
    if words[0] in ("encode", "sample", "decode", "reconstruct", "generate", "verify") and "--device" not in words:
        words += ["--device", "cpu"]  # so that no warning comes first
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    failed(cli(*words), code, message)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_more_rows_than_an_array_can_have_are_refused_too(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    ended = cli("generate", bundle, 10**30, "--seed", 7, "--out", tmp_path / "out.npy", "--device", "cpu")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert ended.code in (USAGE, INPUT, ENVIRONMENT)


def test_a_device_that_cannot_be_had_is_the_environments_failure(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    out = folder / "out.npy"
    ended = cli("encode", folder / "bundle", folder / "x.npy", "--mean", out, "--device", "cuda")
    failed(ended, ENVIRONMENT, "pip install 'reparam[gpu]'")
    assert out.read_bytes() == b"before"


def test_a_verification_that_fails_exits_with_its_own_code(cli: Cli, copied: Path, rehash: Callable[..., Path]) -> None:
    arrays = dict(np.load(copied / "golden.npz"))
    arrays["x_hat_1"] += 1e-2
    np.savez(copied / "golden.npz", **arrays)
    failed(cli("verify", rehash(copied), "--device", "cpu"), CHECK, "x_hat: differs from the source model by up to")


def test_a_message_from_a_file_cannot_write_to_the_terminal(
    cli: Cli, copied: Path, rehash: Callable[..., Path]
) -> None:
    ended = cli("info", rehash(copied, **{"\x1b[2J\u202eclear": 1}))
    failed(ended, BUNDLE, "unknown field")
    assert ended.err.strip().isprintable()


def test_a_command_of_others_that_cannot_be_loaded_says_so_when_it_is_run(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = importlib.metadata.EntryPoint("broken", "no_such_module:command", "reparam.commands")

    def entry_points(**chosen: str) -> list[importlib.metadata.EntryPoint]:
        return [broken] if chosen.get("name", "broken") == "broken" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    listed = cli("--help")
    assert listed.code == 0
    assert "broken" in listed.out
    for arguments in ([], ["with", "arguments"], ["--option", "3"]):
        ended = cli("broken", *arguments)
        assert ended.err.startswith("error: broken: this command cannot be loaded: no_such_module:command: ")
        assert ended.err.count("\n") == 1
        assert ended.code in (ENVIRONMENT, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_device_behind_stdout_is_one_line_too(bundle: Path) -> None:
    command = [sys.executable, "-m", "reparam.cli.main", "info", str(bundle)]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert ended.returncode == ENVIRONMENT


def test_a_reader_that_goes_away_is_no_error(bundle: Path) -> None:
    command = [sys.executable, "-m", "reparam.cli.main", "info", str(bundle), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_warning_of_auto_is_one_line_on_stderr(bundle: Path, tmp_path: Path) -> None:
    code = "import onnxruntime, sys; onnxruntime.get_available_providers = lambda: ['CPUExecutionProvider']\n"
    code += "from reparam.cli.main import main; main()"
    arguments = ["generate", str(bundle), "2", "--seed", "7", "--out", str(tmp_path / "out.npy"), "--json"]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert ended.stderr.startswith("warning: reparam runs on the CPU: ")
    assert ended.stderr.count("\n") == 1


ABSENT = """
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""
STUBBED = """
import pathlib, sys
for name in HIDDEN:
    stub = pathlib.Path("stubs") / f"{name}.py"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')")
sys.path.insert(0, "stubs")
"""
HIDDEN = "HIDDEN = {'torch', 'onnx', 'onnxscript', 'tqdm', 'matplotlib'}\n"
RUN = "\nfrom reparam.cli.main import main\nmain()"


@pytest.mark.parametrize("how", [ABSENT, BLOCKED, STUBBED], ids=["absent", "blocked", "broken"])
@pytest.mark.parametrize(("command", "extra"), [("train digits --out run", "train"), ("export run bundle", "export")])
def test_without_torch_train_and_export_say_which_line_brings_it(
    fresh: Callable[..., Any], how: str, command: str, extra: str
) -> None:
    ended = fresh(HIDDEN + how + RUN, *command.split())
    failed(ended, ENVIRONMENT, f"pip install 'reparam[{extra}]'")


@pytest.mark.parametrize("how", [ABSENT, BLOCKED, STUBBED], ids=["absent", "blocked", "broken"])
def test_without_torch_help_still_lists_every_command(fresh: Callable[..., Any], how: str) -> None:
    ended = fresh(HIDDEN + how + RUN, "--help")
    assert (ended.code, ended.err) == (0, "")
    for command in ("train", "export", "data", "demo", "encode"):
        assert f"\n  {command} " in ended.out
    assert "cannot be loaded" not in ended.out


def test_without_torch_the_data_that_ship_can_be_written(fresh: Callable[..., Any], tmp_path: Path) -> None:
    ended = fresh(HIDDEN + ABSENT + RUN, "data", "digits", "--split", "test", "--out", tmp_path / "x.npy")
    assert (ended.code, ended.err) == (0, "")
    assert np.load(tmp_path / "x.npy").dtype == np.float32


def test_without_matplotlib_the_demo_says_so_before_it_trains(fresh: Callable[..., Any]) -> None:
    failed(fresh(HIDDEN + ABSENT + RUN, "demo", "--out", "demo"), ENVIRONMENT, "pip install 'reparam[report]'")
