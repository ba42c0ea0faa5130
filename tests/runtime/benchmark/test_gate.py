"""A wrong arm is refused before it is timed, and a device that was claimed but not used is told: exit codes 6 and 5."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

import reparam
from reparam.benchmark.arms import Measured
from reparam.benchmark.plan import Spec, Wish
from reparam.benchmark.report import Report, Scenarios
from reparam.benchmark.run import run
from reparam.benchmark.scaling import fit
from reparam.cli.common import progress
from reparam.errors import DeviceUnavailable, RunError, VerificationError
from reparam.testing import tiny_bundle

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
SHORT = ("--seconds", "2", "--batches", "1,3", "--operations", "encode,decode", "--quick")
PLACED = pytest.mark.skipif(
    not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"),
    reason="this onnxruntime does not tell which provider runs which nodes",
)


def short(bundle: Path, **wish: Any) -> Report:
    usual: dict[str, Any] = {"devices": ("cpu",), "batches": (1, 3), "seconds": 1.5, "quick": True}
    return run(bundle, Wish(**(usual | wish)), progress=progress)


def test_a_variant_with_other_weights_is_refused_with_its_error_and_nothing_of_it_is_timed(
    with_variant: Callable[[int], Path],
) -> None:
    report = short(with_variant(1), precisions=("fp32", "fp16"))
    wrong = [arm for arm in report.arms if arm.precision == "fp16"]
    assert [arm.status for arm in wrong] == ["wrong"] * 3
    for arm in wrong:
        assert arm.points == ()
        assert arm.scenarios is None
        assert arm.gate is not None
        assert not arm.gate.passed
        assert max(error.absolute for error in arm.gate.worst.values()) > 0.01
        assert "differs from fp32 on the CPU by up to" in (arm.reason or "")
    assert all(arm.status == "timed" for arm in report.arms if arm.precision == "fp32")


def test_a_variant_with_the_same_weights_passes(with_variant: Callable[[int], Path]) -> None:
    report = short(with_variant(0), precisions=("fp32", "fp16"))
    assert {arm.status for arm in report.arms} == {"timed"}


def test_a_wrong_variant_ends_the_command_with_six_and_the_table_is_there_all_the_same(
    with_variant: Callable[[int], Path], cli: Callable[..., Any]
) -> None:
    done = cli("benchmark", with_variant(1), "--precisions", "fp32,fp16", "--devices", "cpu", *SHORT)
    assert done.code == 6
    assert done.err.startswith("error: benchmark: encode.cpu.fp16.numpy.")
    assert "is wrong: mean: differs from fp32 on the CPU" in done.err
    assert "encode.cpu.fp32.numpy." in done.out
    assert "wrong: mean: differs" in done.out


def test_where_fp32_itself_is_not_the_source_model_nothing_is_timed(
    tmp_path: Path, rehash: Callable[..., Path]
) -> None:
    folder, other = tiny_bundle(tmp_path / "b", seed=0), tiny_bundle(tmp_path / "other", seed=1)
    (folder / "decoder.onnx").write_bytes((other / "decoder.onnx").read_bytes())
    rehash(folder)
    with pytest.raises(VerificationError, match=r"fp32 on the CPU, which every arm .* is wrong itself: x_hat"):
        short(folder)


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """An onnxruntime that claims CUDA and runs on the CPU; lying, it also names CUDA as what is active."""
    import onnxruntime

    from reparam.benchmark import engines
    from reparam.engine import device, probe

    def plant(lies: bool) -> None:
        real = onnxruntime.InferenceSession

        class Fallen(real):  # type: ignore[misc,valid-type]
            def __init__(self, data: bytes, options: Any, providers: list[Any], **more: Any) -> None:
                self.asked = [each if isinstance(each, str) else each[0] for each in providers]
                super().__init__(data, options, providers=[CPU], **more)

            def get_providers(self) -> list[str]:
                return [*self.asked, CPU] if lies else [CPU]

        monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
        for module in (device, engines, probe):
            monkeypatch.setattr(module, "missing_for_cuda", list)

    return plant


def test_device_arrays_that_this_onnxruntime_lacks_are_a_line_of_the_report(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(onnxruntime.OrtValue, "from_dlpack", raising=False)
    asked = ("--devices", "cpu", "--precisions", "fp32", "--paths", "numpy,device")
    done = cli("benchmark", tiny_bundle(tmp_path / "b"), *asked, *SHORT)
    assert (done.code, done.err) == (0, "")
    assert "unavailable: device arrays need an onnxruntime whose OrtValue has from_dlpack" in done.out


@pytest.mark.parametrize(
    ("lies", "named", "told"),
    [
        (False, (), f"onnxruntime chose {CPU}"),
        pytest.param(True, (), f"nodes run outside {CUDA}", marks=PLACED),
        pytest.param(True, ("--devices", "cpu,cuda"), f"nodes run outside {CUDA}", marks=PLACED),
    ],
)
def test_a_device_that_was_claimed_while_the_cpu_ran_ends_the_command_with_five(
    lies: bool,
    named: tuple[str, ...],
    told: str,
    *,
    claimed: Callable[[bool], None],
    tmp_path: Path,
    cli: Callable[..., Any],
) -> None:
    claimed(lies)
    done = cli("benchmark", tiny_bundle(tmp_path / "b"), *named, "--precisions", "fp32", *SHORT)
    assert done.code == 5
    assert "a device that was asked for was not used: encode.cuda.fp32.numpy." in done.err
    assert "fell back: " in done.out
    assert told in done.out


def test_a_named_device_in_whose_place_the_cpu_answers_is_refused_before_anything_is_measured(
    claimed: Callable[[bool], None], tmp_path: Path, cli: Callable[..., Any]
) -> None:
    claimed(False)
    done = cli("benchmark", tiny_bundle(tmp_path / "b"), "--devices", "cpu,cuda:99", *SHORT)
    assert (done.code, done.out) == (5, "")
    assert "--devices: cuda:99 was asked for and does not start: " in done.err
    assert f"onnxruntime chose {CPU}" in done.err


def test_a_device_that_fails_to_start_in_the_open_is_missing_where_nobody_named_it_and_five_where_somebody_did(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    from reparam.benchmark import engines
    from reparam.engine import device, probe

    real = onnxruntime.InferenceSession

    class Failing(real):  # type: ignore[misc,valid-type]  # onnxruntime's class has no types
        def __init__(self, data: bytes, options: Any, providers: list[Any], **more: Any) -> None:
            if providers[0][0] == CUDA:
                raise RuntimeError("no CUDA-capable device is detected")
            super().__init__(data, options, providers=providers, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Failing)
    for module in (device, engines, probe):
        monkeypatch.setattr(module, "missing_for_cuda", list)
    folder = tiny_bundle(tmp_path / "b")
    done = cli("benchmark", folder, "--precisions", "fp32", *SHORT)
    assert (done.code, done.err) == (0, "")
    assert "unavailable: device: cuda:0 failed to start: no CUDA-capable device is detected" in done.out
    done = cli("benchmark", folder, "--devices", "cuda", *SHORT)
    assert (done.code, done.out) == (5, "")
    assert "--devices: cuda was asked for and does not start: device: cuda:0 failed to start" in done.err


def test_a_device_that_was_named_and_cannot_be_had_ends_with_five_at_once_and_one_that_was_not_named_with_zero(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    folder = tiny_bundle(tmp_path / "b")
    done = cli("benchmark", folder, "--precisions", "fp32", "--devices", "cpu,cuda", *SHORT)
    assert (done.code, done.out) == (5, "")
    assert "device: cuda cannot be had here: the CUDA provider" in done.err
    done = cli("benchmark", folder, "--precisions", "fp32", *SHORT)
    assert (done.code, done.err) == (0, "")
    assert "unavailable: device: cuda cannot be had here" in done.out


def test_what_a_named_device_merely_lacks_is_a_line_with_its_reason_and_no_fault(
    tmp_path: Path, cli: Callable[..., Any]
) -> None:
    lacking = ("--precisions", "fp32,fp16", "--paths", "numpy,cuda-graph")
    done = cli("benchmark", tiny_bundle(tmp_path / "b"), "--devices", "cpu", *lacking, *SHORT)
    assert (done.code, done.err) == (0, "")
    assert "precision: tiny has fp32, got fp16; export it with that precision" in done.out
    assert "there are CUDA graphs on CUDA devices alone" in done.out


def test_where_nothing_ran_at_all_the_command_ends_with_five(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    done = cli("benchmark", tiny_bundle(tmp_path / "b"), "--paths", "cuda-graph", *SHORT)
    assert done.code == 5
    assert "benchmark: nothing ran on cpu or cuda: cuda-graph: there are CUDA graphs on CUDA devices alone" in done.err


def test_a_named_device_on_which_every_arm_failed_ends_the_command_with_five(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise RunError("out of order")

    monkeypatch.setattr(reparam.VAE, "pinned", failing)
    done = cli("benchmark", tiny_bundle(tmp_path / "b"), "--devices", "cpu", "--paths", "pinned", *SHORT)
    assert done.code == 5
    assert "benchmark: nothing ran on cpu: at batch 1: out of order" in done.err
    assert "unavailable: at batch 1: out of order" in done.out


@pytest.mark.parametrize(
    ("kind", "code", "status"), [(DeviceUnavailable, 5, "fell back"), (RunError, 0, "unavailable")]
)
def test_an_arm_that_fails_while_it_is_timed_is_told_with_its_reason_and_the_others_go_on(
    kind: Any, code: int, status: str, *, tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = reparam.VAE.decode, []

    def decode(self: reparam.VAE, z: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) > 40:
            raise kind("the card is gone")
        return real(self, z, **more)

    monkeypatch.setattr(reparam.VAE, "decode", decode)
    done = cli("benchmark", tiny_bundle(tmp_path / "b"), "--devices", "cpu", "--precisions", "fp32", *SHORT)
    assert done.code == code
    assert f"{status}: it failed while it was timed: the card is gone\n  decode.cpu.fp32.numpy." in done.out
    assert "\nencode.cpu.fp32.numpy." in done.out


def test_an_arm_that_fails_late_keeps_no_figure_of_what_was_measured_before() -> None:
    line = fit("rows", [1, 2], [3, 4])
    late = Measured(Spec("encode", "cpu", "fp32", "numpy", 1), scenarios=Scenarios(), scaling=(line,))
    late.lose(RunError("worn out"))
    found = late.told()
    assert (found.status, found.reason) == ("unavailable", "it failed while it was timed: worn out")
    assert (found.points, found.scenarios, found.scaling) == ((), None, ())
