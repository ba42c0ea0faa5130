"""The golden vectors, replayed: what `verify` accepts, what it refuses, and what it makes of a damaged archive."""

import io
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.engine.instructions import has_int8
from reparam.errors import BundleError, ReparamError, VerificationError

Maker = Callable[..., Path]
NAMES = ["x_1", "eps_1", "mean_1", "logvar_1", "z_1", "x_hat_1"]  # what a tiny bundle's archive holds
ZERO = np.zeros((1, 2), np.float32)  # the right value of each of them


def archive(**changes: Any) -> bytes:
    """The tiny bundle's golden vectors, with other arrays for some; None leaves one out."""
    buffer = io.BytesIO()
    arrays = dict.fromkeys(NAMES, ZERO) | changes
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


def zipped(member: bytes, *, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive whose members all have these bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name in NAMES:
            file.writestr(f"{name}.npy", member)
    return buffer.getvalue()


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode("latin-1") + data


def test_the_right_vectors_verify(tiny: Maker, tmp_path: Path) -> None:
    (done,) = reparam.verify(tiny(tmp_path / "b", golden=archive()), device="cpu")
    assert (done.precision, done.provider, done.batches) == ("fp32", "CPUExecutionProvider", (1,))
    assert set(done.worst) == {"mean", "logvar", "z", "x_hat", "round_trip"}
    assert all((worst.absolute, worst.relative) == (0, 0) for worst in done.worst.values())


@pytest.mark.parametrize("name", ["mean", "logvar", "z", "x_hat"])
def test_each_output_is_held_to_the_bound(tiny: Maker, tmp_path: Path, name: str) -> None:
    for amount, fits in ((0.9e-5, True), (1.1e-5, False), (-1.1e-5, False), (1.0, False)):
        wrong = ZERO.copy()
        wrong[0, 1] += amount
        folder = tiny(tmp_path / "b", golden=archive(**{f"{name}_1": wrong}))
        if fits:
            reparam.verify(folder, device="cpu")
            continue
        with pytest.raises(VerificationError, match=rf"^({name}|x_hat): differs from the source model by up to "):
            reparam.verify(folder, device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_never_verifies(tiny: Maker, tmp_path: Path, value: float) -> None:
    for name in NAMES:
        bad = np.array([[0, value]], np.float32)
        with pytest.raises(VerificationError, match=r"gives a value that is not finite, at batch 1$"):
            reparam.verify(tiny(tmp_path / "b", golden=archive(**{name: bad})), device="cpu")


def test_the_bound_is_the_manifests(tiny: Maker, tmp_path: Path) -> None:
    done = {
        "precision": "fp32",
        "provider": "CPUExecutionProvider",
        "onnxruntime": "1.0",
        "batches": [1],
        "bound": {"absolute": 0.5, "relative": 0.0},
        "worst": {},
    }
    golden = archive(mean_1=ZERO + np.float32(0.4))
    (found,) = reparam.verify(tiny(tmp_path / "b", golden=golden, verification=[done]), device="cpu")
    assert found.worst["mean"].absolute == pytest.approx(0.4)


def test_the_shipped_bundle_fails_once_a_golden_value_is_another(copied: Path, rehash: Maker) -> None:
    arrays = dict(np.load(copied / "golden.npz"))
    arrays["mean_3"][2, 0] += 1e-3
    np.savez(copied / "golden.npz", **arrays)
    with pytest.raises(VerificationError, match=r"^mean: differs from the source model by up to 0\.00\d+ at batch 3"):
        reparam.verify(rehash(copied), device="cpu")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "array",
    [None, ZERO.astype(np.float64), ZERO[0], np.zeros((2, 2), np.float32), np.array([[None, {}]], object)],
    ids=["missing", "float64", "another rank", "more rows", "objects"],
)
def test_an_archive_without_the_right_arrays_is_refused(
    tiny: Maker, tmp_path: Path, name: str, array: np.ndarray | None
) -> None:
    with pytest.raises(BundleError, match=r"golden\.npz: not the golden vectors of this bundle: "):
        reparam.verify(tiny(tmp_path / "b", golden=archive(**{name: array})), device="cpu")


SHAPED = "{{'descr': '<f4', 'fortran_order': False, 'shape': {} }}"


@pytest.mark.parametrize(
    "data",
    [
        b"no zip",
        b"PK\x03\x04 nearly",
        npy(SHAPED.format("(1, 2)"), bytes(8)),  # one array, no archive
        zipped(b""),
        zipped(b"no array"),
        zipped(npy("(((((")),
        zipped(npy("{'descr': '<f4',")),
        zipped(npy(SHAPED.format("(-1, 2)"))),
        zipped(npy(SHAPED.format("(10000000000000, 2)"))),  # 73 TiB
        zipped(npy(SHAPED.format("(" + "9" * 40 + ",)"))),
        zipped(npy(SHAPED.format("(1, 2)"), bytes(4))),  # cut short
        zipped(npy(SHAPED.format("(1, 2)"), bytes(8)), method=zipfile.ZIP_DEFLATED)[:-40],
    ],
    ids=lambda data: f"{data[:4]!r} {len(data)}",
)
def test_an_archive_that_is_none_is_refused(tiny: Maker, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BundleError, match=r"golden\.npz: not the golden vectors of this bundle: ") as caught:
        reparam.verify(tiny(tmp_path / "b", golden=data), device="cpu")
    assert "\n" not in str(caught.value)


@given(st.data())
def test_a_changed_archive_with_a_matching_hash_is_refused_or_fails_and_nothing_else(
    tiny: Maker, scratch: Callable[[], Path], data: Any
) -> None:
    packed = data.draw(st.booleans())
    whole = zipped(npy(SHAPED.format("(1, 2)"), bytes(8)), method=zipfile.ZIP_DEFLATED) if packed else archive()
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    folder, message = tiny(scratch(), golden=bytes(changed)), "the same vectors"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy and zipfile may remark on what they read
            reparam.verify(folder, device="cpu", threads=1)
    except ReparamError as error:
        message = str(error)
    finally:
        shutil.rmtree(folder)
    assert "\n" not in message


def test_verify_finds_a_bundle_as_load_does(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        reparam.verify(tmp_path / "nowhere", device="cpu")
    assert reparam.verify(str(bundle), device="cpu", threads=1)


@pytest.mark.parametrize(
    ("instructions", "replayed"), [("sse2 avx512_vnni", ["fp32", "int8"]), ("sse2 avx2", ["fp32"])]
)
def test_int8_is_left_out_with_a_warning_where_the_cpu_has_no_instructions_for_it(
    tiny: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instructions: str, replayed: list[str]
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags : {instructions}\n")
    monkeypatch.setattr("reparam.engine.instructions._CPUINFO", cpuinfo)
    has_int8.cache_clear()
    folder = with_int8(tiny(tmp_path / "b", golden=archive()))
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            assert [done.precision for done in reparam.verify(folder, device="cpu")] == replayed
            chosen = reparam.load(folder, device="cpu", prefer="speed").info().precision
        assert chosen == replayed[-1]
        assert [str(w.message).partition(":")[0] for w in seen] == ["verify leaves out int8"] * (len(replayed) == 1)
    finally:
        has_int8.cache_clear()


def with_int8(folder: Path) -> Path:
    """The bundle with its own graphs once more as int8."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for graph in list(manifest["graphs"]):
        other = f"{graph['role']}.int8.onnx"
        shutil.copy(folder / graph["file"], folder / other)
        manifest["graphs"].append(graph | {"file": other, "precision": "int8"})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
