"""What was asked for by name and cannot be had is refused in one line, before anything is measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reparam.benchmark import engines
from reparam.errors import MissingExtra
from reparam.testing import tiny_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("asked") / "tiny")


@pytest.fixture
def refused(folder: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command says that is refused with a code while no model is loaded."""

    def loading(*_: Any, **__: Any) -> Any:
        raise AssertionError("a model was loaded for what is refused")

    monkeypatch.setattr(engines, "load_for", loading)

    def run(code: int, *options: object) -> str:
        done = cli("benchmark", folder, *options)
        assert (done.code, done.out) == (code, "")
        assert done.err.count("\n") == 1
        return str(done.err)

    return run


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--precisions", "fp8"), "--precisions: must be of fp32, fp16, int8, got fp8"),
        (("--operations", "train"), "--operations: must be of encode, decode, reconstruct, got train"),
        (("--paths", "torch"), "--paths: must be of numpy, pinned, device, cuda-graph, got torch"),
        (("--devices", "auto"), "--devices: auto is whatever is there"),
        (("--devices", "cpu,tpu,gpu"), "--devices: must be of cpu, cuda, cuda:N, got tpu, gpu"),
        (("--devices", "cuda:1000"), "--devices: must be of cpu, cuda, cuda:N, got cuda:1000"),
        (("--batches", "1,x"), "'1,x' must be whole numbers with commas between them"),
        (("--batches", "1,,2"), "'1,,2' has an empty entry; give each a value, or leave the option out"),
        (("--threads", " ,2"), "' ,2' has an empty entry; give each a value"),
        (("--devices", "cpu,"), "'cpu,' has an empty entry; give each a value"),
        (("--precisions", ""), "'' has an empty entry; give each a value"),
        (("--paths", ","), "',' has an empty entry; give each a value"),
        (("--operations", ",encode"), "',encode' has an empty entry; give each a value"),
        (("--against", "torch,,"), "'torch,,' has an empty entry; give each a value"),
        (("--batches", "0"), "--batches: must be whole numbers from 1 to 2^20, got 0"),
        (("--batches", "1,1000000000000"), "--batches: must be whole numbers from 1 to 2^20, got 1000000000000"),
        (("--threads", "1025"), "--threads: must be whole numbers from 1 to 1024, got 1025"),
        (("--bound-ms", "inf"), "--bound-ms: must be from 1e-06 to 86400, got inf"),
        (("--seconds", "nan"), "--seconds: must be from 1 to 86400, got nan"),
        (("--out", "same", "--page", "same"), "--out and --page name one file, same; give each its own"),
        (("--floor", "encode=3"), "--floor: must be ARM@BATCH=ROWS_PER_S or ARM@BATCH/ARM=TIMES"),
        (
            ("--floor", "encode.cpu@1/encode.cpu@0=3"),
            "--floor: must be ARM@BATCH=ROWS_PER_S or ARM@BATCH/ARM=TIMES",
        ),
        (
            ("--against", "torch", "--precisions", "int8"),
            "--against: other libraries run fp32 alone, got int8; add fp32",
        ),
        (("--run", "."), "--run: is where the arms of --against take their model from; name one, such as torch"),
    ],
)
def test_what_no_machine_could_do_is_a_usage_error(
    options: tuple[str, ...], told: str, refused: Callable[..., str]
) -> None:
    assert told in refused(2, *options)


def test_a_library_that_nobody_offers_is_refused_with_those_that_are_registered(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = refused(2, "--against", "torch,jax")
    assert "--against: no package gives the arm 'jax'; registered are torch, torch-compile" in told
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    assert "none is registered; pip install 'reparam[train]'" in refused(2, "--against", "torch")


def test_a_run_that_is_no_folder_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    place = tmp_path / "nope"
    told = refused(3, "--against", "torch", "--run", place)
    assert f"--run: {place} is no folder; give the one that reparam train wrote" in told


def test_a_library_that_was_named_and_is_not_installed_ends_the_command_before_anything_is_timed(
    folder: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engines.open_engine

    def opening(bundle: Path, engine: engines.Engine, **more: Any) -> Any:
        if engine[2] == "torch":
            raise MissingExtra("torch's arms need torch; pip install 'reparam[train]'")
        return real(bundle, engine, **more)

    monkeypatch.setattr(engines, "open_engine", opening)
    monkeypatch.setattr("reparam.benchmark.phases.time_points", lambda *_, **__: pytest.fail("it was timed"))
    done = cli("benchmark", folder, "--devices", "cpu", "--against", "torch", "--seconds", "1", "--quick")
    assert (done.code, done.out) == (5, "")
    assert "torch's arms need torch; pip install 'reparam[train]'" in done.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--devices", "cpu", "--precisions", "int8"), "--precisions: tiny has fp32, got int8; name one that it has"),
        (("--precisions", "fp16,int8"), "--precisions: tiny has fp32, got fp16, int8; name one that it has"),
        (("--devices", "cpu", "--paths", "cuda-graph"), "--paths: cuda-graph is of cards alone, got no other for cpu"),
    ],
)
def test_a_wish_of_which_nothing_exists_is_refused(
    options: tuple[str, ...], told: str, refused: Callable[..., str]
) -> None:
    assert told in refused(2, *options)


@pytest.mark.parametrize(
    ("floor", "told"),
    [
        ("encode.cpu.fp32.nunpy@1=1", "no such arm, encode.cpu.fp32.nunpy; the nearest are encode.cpu.fp32.numpy"),
        ("encode.cpu.fp32.numpy.t1@1/decode.cpu.fp23.numpy.t1=1", "the nearest are decode.cpu.fp32.numpy"),
        ("nothing@1=1", "no such arm, nothing; one is encode.cpu.fp32.numpy.t1"),
        ("encode.cpu.fp32.numpy@7=1", "batch 7 is not measured; --batches are 1,8,256"),
        ("encode.cpu.fp32.numpy@8/encode.cpu.fp32.numpy@2=1", "batch 2 is not measured; --batches are 1,8,256"),
    ],
)
def test_a_floor_of_what_will_not_be_measured_is_refused_with_what_will(
    floor: str, told: str, refused: Callable[..., str]
) -> None:
    found = refused(2, "--quick", "--threads", "1", "--floor", floor)
    assert f"--floor {floor}: " in found
    assert told in found


def test_a_floor_that_names_several_arms_is_refused(refused: Callable[..., str]) -> None:
    told = refused(2, "--quick", "--threads", "1,2", "--floor", "encode.cpu.fp32.numpy@1=1")
    assert "encode.cpu.fp32.numpy is several arms, encode.cpu.fp32.numpy.t1, encode.cpu.fp32.numpy.t2; name one" in told
