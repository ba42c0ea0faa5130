"""A device that was named is had or refused; only "auto" falls back, and says so once."""

import ctypes
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import DeviceUnavailable, OptionError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def only_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain wheel, also where the other one is installed."""
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])


@pytest.mark.usefixtures("only_cpu")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_a_named_device_that_cannot_be_had_is_refused_with_what_is_missing(bundle: Path, device: str) -> None:
    with pytest.raises(DeviceUnavailable, match=f"^device: {device} cannot be had here: the CUDA provider") as caught:
        reparam.load(bundle, device=device)
    message = str(caught.value)
    assert "pip install 'reparam[gpu]'" in message
    assert "device='cpu'" in message
    assert "\n" not in message
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.usefixtures("only_cpu")
def test_auto_runs_on_the_cpu_with_exactly_one_warning(bundle: Path) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        vae = reparam.load(bundle)
    assert [warning.category for warning in seen] == [RuntimeWarning]
    assert str(seen[0].message).startswith("reparam runs on the CPU: the CUDA provider")
    assert "device='cpu'" in str(seen[0].message)
    assert vae.info().device == "cpu"


@pytest.mark.usefixtures("only_cpu")
def test_the_warning_names_the_line_that_loads(bundle: Path) -> None:
    with pytest.warns(RuntimeWarning, match="reparam runs on the CPU") as seen:
        reparam.load(bundle)
    assert seen[0].filename == __file__


@pytest.mark.usefixtures("only_cpu")
def test_the_cpu_by_name_warns_of_nothing(bundle: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reparam.load(bundle, device="cpu").info().provider == CPU


class Session:
    """A session of the stand-in: like onnxruntime's, it takes any provider and quietly runs on another."""

    chosen = CPU
    options: Any = None

    def __init__(self, data: bytes, options: Any, providers: list[Any], **_: Any) -> None:
        type(self).options = options
        self.asked, self.data = providers, data

    def disable_fallback(self) -> None:
        pass

    def run(self, *_: object) -> list[np.ndarray]:
        raise AssertionError("nothing is run")

    def get_providers(self) -> list[str]:
        return [self.chosen, CPU]

    def get_inputs(self) -> list[Any]:
        return self._arguments("x", "eps") if b"eps" in self.data else self._arguments("z")

    def get_outputs(self) -> list[Any]:
        return self._arguments("mean", "logvar", "z") if b"eps" in self.data else self._arguments("x_hat")

    @staticmethod
    def _arguments(*names: str) -> list[Any]:
        return [SimpleNamespace(name=name, type="tensor(float)", shape=["batch", 2]) for name in names]


class Options(SimpleNamespace):
    """Session options that take every setting."""

    def add_session_config_entry(self, key: str, value: str) -> None:
        setattr(self, key, value)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An onnxruntime that has the CUDA provider, on a machine whose loader finds every library."""
    module = ModuleType("onnxruntime")
    settings: dict[str, Any] = {
        "__version__": "0.0.0",
        "get_available_providers": lambda: [CUDA, CPU],
        "preload_dlls": lambda **_: None,
        "disable_telemetry_events": lambda: None,
        "SessionOptions": Options,
        "RunOptions": SimpleNamespace,
        "GraphOptimizationLevel": SimpleNamespace(ORT_ENABLE_ALL=99),
        "InferenceSession": type("InferenceSession", (Session,), {}),
    }
    for name, value in settings.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    return module


@pytest.fixture
def small(tiny: Any, tmp_path: Path) -> Path:
    folder: Path = tiny(tmp_path / "b")
    return folder


@pytest.mark.usefixtures("stand_in")
def test_a_silent_fallback_of_onnxruntime_is_caught(small: Path) -> None:
    with pytest.raises(DeviceUnavailable, match=r"^device: cuda:0 .* onnxruntime chose CPUExecutionProvider"):
        reparam.load(small, device="cuda")


def test_a_fallback_in_the_middle_of_a_run_is_caught(small: Path, stand_in: ModuleType) -> None:
    def run(self: Session, names: list[str], feeds: dict[str, np.ndarray], _: object) -> list[np.ndarray]:
        type(self).chosen = CPU  # as onnxruntime does where it creates the session again
        return [np.zeros((len(next(iter(feeds.values()))), 2), np.float32) for _ in names]

    stand_in.InferenceSession.chosen = CUDA
    stand_in.InferenceSession.run = run
    with (
        reparam.load(small, device="cuda") as vae,
        pytest.raises(DeviceUnavailable, match="onnxruntime left CUDAExecutionProvider during a run"),
    ):
        vae.encode(np.zeros((1, 2), np.float32))


@pytest.mark.usefixtures("stand_in")
def test_auto_takes_the_cpu_where_the_card_does_not_start_and_says_so_once(small: Path) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        vae = reparam.load(small)
    assert [str(warning.message).partition(":")[0] for warning in seen] == ["reparam runs on the CPU"]
    assert vae.info().device == "cpu"


def test_a_card_that_starts_is_taken_by_its_number(small: Path, stand_in: ModuleType) -> None:
    stand_in.InferenceSession.chosen = CUDA
    with reparam.load(small, device="cuda:2") as vae:
        assert (vae.info().device, vae.info().provider) == ("cuda:2", CUDA)
    with reparam.load(small) as vae:
        assert vae.info().device == "cuda:0"


def test_a_session_that_cannot_be_made_on_the_card_is_refused_in_one_line(small: Path, stand_in: ModuleType) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA failure 999\nand a long tail")

    stand_in.InferenceSession = failing  # type: ignore[attr-defined]
    with pytest.raises(DeviceUnavailable, match=r"^device: cuda:0 failed to start: CUDA failure 999; see reparam doc"):
        reparam.load(small, device="cuda")


def test_each_missing_library_is_named(small: Path, stand_in: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stand_in.get_available_providers() == [CUDA, CPU]

    def without_runtime(name: str, *_: object, **__: object) -> object:
        if name == "libcudart.so.13":
            raise OSError(name)
        return SimpleNamespace()

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", without_runtime)
    with pytest.raises(DeviceUnavailable, match=r"libcudart\.so\.13 missing; pip install 'reparam\[cuda\]'"):
        reparam.load(small, device="cuda")


@pytest.mark.usefixtures("stand_in")
def test_libraries_of_nvidia_wheels_in_another_folder_than_onnxruntimes_are_found(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere" / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    for name in ("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13"):
        (folder / name).touch()
    loaded = {"libcuda.so.1"}

    def load(name: str, *_: object, **__: object) -> object:  # as the system's loader does, which knows what is loaded
        if name not in loaded and not Path(name).is_absolute():
            raise OSError(name)
        loaded.add(Path(name).name)
        return SimpleNamespace()

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", load)
    others = [entry for entry in sys.path if not Path(entry, "nvidia").exists()]  # the environment may have wheels too
    monkeypatch.setattr(sys, "path", [*others, str(tmp_path / "elsewhere")])
    with pytest.raises(DeviceUnavailable, match=r"cannot be had here: libcurand\.so\.10, libcudnn\.so\.9 missing; pip"):
        reparam.load(small, device="cuda")


def test_threads_are_set_on_both_sessions(small: Path, stand_in: ModuleType) -> None:
    reparam.load(small, device="cpu", threads=3)
    assert stand_in.InferenceSession.options.intra_op_num_threads == 3
    assert stand_in.InferenceSession.options.inter_op_num_threads == 1


def test_telemetry_is_switched_off_also_where_the_program_imported_onnxruntime_before(
    small: Path, stand_in: ModuleType
) -> None:
    calls: list[str] = []
    stand_in.disable_telemetry_events = lambda: calls.append("off")  # type: ignore[attr-defined]
    reparam.load(small, device="cpu")
    assert calls
    assert set(calls) == {"off"}


@pytest.mark.parametrize("device", ["gpu", "Cuda", "cuda0", "cuda:x", "cuda:1000", "tpu", ""])
def test_a_name_that_is_no_device_is_refused(small: Path, device: str) -> None:
    with pytest.raises(OptionError, match=r"^device: must be auto, cpu, cuda or cuda:N, got "):
        reparam.load(small, device=device)
