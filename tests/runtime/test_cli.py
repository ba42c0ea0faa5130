"""The commands: each gives the Python API's numbers to the bit, and says in one document what it did."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import reparam
from reparam.bundle.manifest import Manifest

Cli = Callable[..., Any]
Rows = Callable[[int], Any]
COMMANDS = [
    "data",
    "decode",
    "demo",
    "doctor",
    "encode",
    "export",
    "generate",
    "info",
    "reconstruct",
    "sample",
    "train",
]


@pytest.fixture
def x(tmp_path: Path, rows_of: Rows) -> Path:
    np.save(tmp_path / "x.npy", rows_of(20))
    return tmp_path / "x.npy"


def done(cli: Cli, *arguments: object) -> Any:
    """The JSON document of a command that must succeed, and must say nothing else."""
    ended = cli(*arguments, "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


@pytest.mark.parametrize("max_batch", [1, 7, 256])
def test_encode_writes_mean_and_logvar(
    cli: Cli, bundle: Path, vae: reparam.VAE, x: Path, rows_of: Rows, *, max_batch: int
) -> None:
    mean, logvar = x.with_name("mean.npy"), x.with_name("logvar.npy")
    options = ["--device", "cpu", "--threads", 1, "--max-batch", max_batch]
    document = done(cli, "encode", bundle, x, "--mean", mean, "--logvar", logvar, *options)
    assert set(document) == {"rows", "seconds", "rows_per_second", "mean", "logvar"}
    assert (document["rows"], document["mean"], document["logvar"]) == (20, str(mean), str(logvar))
    wanted = vae.encode(rows_of(20))
    np.testing.assert_array_equal(np.load(mean), wanted.mean)
    np.testing.assert_array_equal(np.load(logvar), wanted.logvar)


@pytest.mark.parametrize("name", ["mean", "logvar"])
def test_encode_writes_only_what_was_asked_for(cli: Cli, bundle: Path, x: Path, name: str) -> None:
    document = done(cli, "encode", bundle, x, f"--{name}", x.with_name("out.npy"), "--device", "cpu")
    assert set(document) == {"rows", "seconds", "rows_per_second", name}
    assert sorted(file.name for file in x.parent.iterdir()) == ["out.npy", "x.npy"]


@pytest.mark.parametrize("op", ["sample", "reconstruct"])
def test_sample_and_reconstruct_take_a_seed_or_noise(
    cli: Cli, bundle: Path, vae: reparam.VAE, x: Path, rows_of: Rows, *, op: str
) -> None:
    out, call = x.with_name("out.npy"), getattr(vae, op)
    key = {"sample": "z", "reconstruct": "x_hat"}[op]
    document = done(cli, op, bundle, x, "--seed", 2**64 - 1, "--first-row", 5, "--out", out, "--device", "cpu")
    assert set(document) == {"rows", "seconds", "rows_per_second", key}
    np.testing.assert_array_equal(np.load(out), call(rows_of(20), seed=2**64 - 1, first_row=5))
    eps = reparam.noise("normal", 3, range(20), vae.manifest.latent.shape)
    np.save(x.with_name("eps.npy"), eps)
    done(cli, op, bundle, x, "--eps", x.with_name("eps.npy"), "--out", out, "--device", "cpu")
    np.testing.assert_array_equal(np.load(out), call(rows_of(20), eps=eps))


def test_reconstruct_without_noise_is_from_the_mean(
    cli: Cli, bundle: Path, vae: reparam.VAE, x: Path, rows_of: Rows
) -> None:
    done(cli, "reconstruct", bundle, x, "--out", x.with_name("out.npy"), "--device", "cpu")
    np.testing.assert_array_equal(np.load(x.with_name("out.npy")), vae.reconstruct(rows_of(20)))


def test_decode_and_generate_give_the_same_images_for_the_same_latents(
    cli: Cli, bundle: Path, vae: reparam.VAE, tmp_path: Path
) -> None:
    z = reparam.noise("normal", 7, range(2, 22), vae.manifest.latent.shape, stream="prior")
    np.save(tmp_path / "z.npy", z)
    document = done(cli, "decode", bundle, tmp_path / "z.npy", "--out", tmp_path / "one.npy", "--device", "cpu")
    assert set(document) == {"rows", "seconds", "rows_per_second", "x_hat"}
    options = ["--seed", 7, "--first-row", 2, "--max-batch", 3, "--device", "cpu"]
    document = done(cli, "generate", bundle, 20, *options, "--out", tmp_path / "two.npy")
    assert set(document) == {"rows", "seconds", "rows_per_second", "x_hat"}
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), vae.decode(z))
    np.testing.assert_array_equal(np.load(tmp_path / "two.npy"), vae.decode(z))


@pytest.mark.parametrize("layout", ["big-endian", "float64", "Fortran", "version 2"])
def test_arrays_of_any_layout_come_in_from_files(
    cli: Cli, bundle: Path, vae: reparam.VAE, x: Path, rows_of: Rows, *, layout: str
) -> None:
    array = {
        "big-endian": rows_of(9).astype(">f4"),
        "float64": rows_of(9).astype(np.float64),
        "Fortran": np.asfortranarray(rows_of(9)),
        "version 2": rows_of(9),
    }[layout]
    with x.open("wb") as file:
        np.lib.format.write_array(file, array, version=(2, 0) if layout == "version 2" else (1, 0))
    done(cli, "encode", bundle, x, "--mean", x.with_name("mean.npy"), "--device", "cpu")
    np.testing.assert_array_equal(np.load(x.with_name("mean.npy")), vae.encode(rows_of(9)).mean)


def test_no_rows_are_written_as_no_rows(cli: Cli, bundle: Path, vae: reparam.VAE, x: Path) -> None:
    shape, latent = vae.manifest.input.shape, vae.manifest.latent.shape
    np.save(x, np.empty((0, *shape), np.float32))
    out = x.with_name("out.npy")
    assert done(cli, "sample", bundle, x, "--seed", 7, "--out", out, "--device", "cpu")["rows"] == 0
    assert np.load(out).shape == (0, *latent)
    assert done(cli, "generate", bundle, 0, "--seed", 7, "--out", out, "--device", "cpu")["rows"] == 0
    assert np.load(out).shape == (0, *shape)


def test_an_output_may_take_the_place_of_its_input(
    cli: Cli, bundle: Path, vae: reparam.VAE, x: Path, rows_of: Rows
) -> None:
    done(cli, "reconstruct", bundle, x, "--out", x, "--device", "cpu")
    np.testing.assert_array_equal(np.load(x), vae.reconstruct(rows_of(20)))


def test_without_json_one_line_tells_rows_seconds_and_places(cli: Cli, bundle: Path, x: Path) -> None:
    out = x.with_name("z.npy")
    ended = cli("sample", bundle, x, "--seed", 7, "--out", out, "--device", "cpu")
    assert (ended.code, ended.err) == (0, "")
    assert re.fullmatch(rf"20 rows in \d+\.\d\d s \([\d,]+ rows/s\): z in {re.escape(str(out))}\n", ended.out)


def test_info_prints_the_manifest(cli: Cli, bundle: Path, vae: reparam.VAE) -> None:
    assert msgspec.convert(done(cli, "info", bundle), Manifest) == vae.manifest
    ended = cli("info", bundle)
    assert (ended.code, ended.err) == (0, "")
    for text in (vae.manifest.id, vae.manifest.name, "encoder.onnx", "decoder.onnx"):
        assert text in ended.out


def test_info_shows_text_from_a_bundle_printably(cli: Cli, copied: Path, rehash: Callable[..., Path]) -> None:
    training = json.loads((copied / "manifest.json").read_bytes())["training"]
    training["metrics"] = {"\x1b[2J\u202emetric": 1.0}
    ended = cli("info", rehash(copied, training=training))
    assert ended.code == 0
    assert all(line.isprintable() for line in ended.out.splitlines())


def test_verify_tells_the_worst_error_of_each_output(cli: Cli, bundle: Path) -> None:
    (found,) = done(cli, "verify", bundle, "--device", "cpu")
    (wanted,) = reparam.verify(bundle, device="cpu")
    assert set(found) == {"precision", "provider", "onnxruntime", "batches", "sizes", "bound", "worst"}
    assert found["worst"].keys() == wanted.worst.keys()
    assert (found["provider"], found["precision"]) == ("CPUExecutionProvider", "fp32")
    ended = cli("verify", bundle, "--device", "cpu")
    assert (ended.code, ended.err) == (0, "")
    assert all(name in ended.out for name in wanted.worst)


def test_doctor_tells_wheels_threads_providers_and_what_starts(cli: Cli) -> None:
    document = done(cli, "doctor")
    assert {"reparam", "python", "wheels", "threads", "extras", "providers", "cuda_missing", "starts"} <= set(document)
    assert document["starts"]["cpu"] == "yes"
    assert "CPUExecutionProvider" in document["providers"]
    assert document["threads"]["available"] >= 1
    ended = cli("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert "CPUExecutionProvider" in ended.out


def reparam_script() -> str:
    found = shutil.which("reparam", path=str(Path(sys.executable).parent))
    assert found, "the wheel brings a command `reparam`"
    return found


def test_the_installed_command_is_the_module(bundle: Path, tmp_path: Path, vae: reparam.VAE) -> None:
    for number, program in enumerate(([reparam_script()], [sys.executable, "-m", "reparam.cli.main"])):
        out = tmp_path / f"{number}.npy"
        command = [
            *program,
            "generate",
            str(bundle),
            "3",
            "--seed",
            "7",
            "--out",
            str(out),
            "--device",
            "cpu",
            "--json",
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert json.loads(ended.stdout)["rows"] == 3
        np.testing.assert_array_equal(np.load(out), vae.generate(3, seed=7))


def test_help_lists_every_command_also_those_of_the_other_roots(cli: Cli) -> None:
    for arguments in (["--help"], ["-h"]):
        ended = cli(*arguments)
        assert (ended.code, ended.err) == (0, "")
        listed = re.findall(r"^  (\w+) {2,}", ended.out, re.MULTILINE)
        assert set(COMMANDS) <= set(listed)
        assert "cannot be loaded" not in ended.out


def test_a_bare_command_shows_its_help(cli: Cli) -> None:
    ended = cli()
    assert "Usage: reparam [OPTIONS] COMMAND [ARGS]...\n" in ended.out + ended.err
    assert "error: Usage" not in ended.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(cli: Cli, command: str) -> None:
    ended = cli(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"reparam {command}" in ended.out.partition("Usage:")[2]


def test_the_version_is_the_packages(cli: Cli) -> None:
    from importlib import metadata

    assert cli("--version").out == metadata.version("reparam") + "\n"


def test_help_answers_at_once_because_it_loads_no_heavy_library() -> None:
    program = (
        "import sys; from reparam.cli.main import group; group(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "click" in loaded
    assert not loaded & {
        "onnxruntime",
        "onnx",
        "onnxscript",
        "torch",
        "matplotlib",
        "tqdm",
        "PIL",
        "sklearn",
        "pyarrow",
    }


def test_every_command_over_a_bundle_takes_its_pin(cli: Cli, bundle: Path, x: Path) -> None:
    told = cli("info", bundle).out
    (pin,) = re.findall(r"^sha256 of the manifest +([0-9a-f]{64})$", told, re.MULTILINE)
    z, out = x.with_name("z.npy"), x.with_name("out.npy")
    ways = [
        ["info"],
        ["verify", "--device", "cpu"],
        ["encode", x, "--mean", z, "--device", "cpu"],
        ["sample", x, "--seed", 7, "--out", z, "--device", "cpu"],
        ["decode", z, "--out", out, "--device", "cpu"],
        ["reconstruct", x, "--out", out, "--device", "cpu"],
        ["generate", 3, "--seed", 7, "--out", out, "--device", "cpu"],
    ]
    for name, *more in ways:
        ended = cli(name, bundle, *more, "--expect-sha256", pin.upper())
        assert (ended.code, ended.err) == (0, "")
        other = pin[:-1] + ("1" if pin[-1] == "0" else "0")
        ended = cli(name, bundle, *more, "--expect-sha256", other)
        assert ended.code == 3
        assert ended.err == (f"error: {bundle}/manifest.json: its sha256 must be {other} (expect_sha256), got {pin}\n")
