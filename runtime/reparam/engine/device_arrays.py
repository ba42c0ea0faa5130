"""Arrays that stay on the model's device: in and out through DLPack, without a copy and without numpy."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.arrays import FLOAT32
from reparam.engine.captures import beside_captures
from reparam.engine.device import Device
from reparam.engine.pair import session_of
from reparam.engine.rows import Rows
from reparam.engine.session import failure
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import InputError, InputTypeError, MissingExtra

_CPU, _CUDA = 1, 2  # DLPack's numbers
_LEGACY_STREAM = 1  # of CUDA: the producer makes it wait for its own, and the host waits for it before a run


class DeviceArrays:
    """A model for arrays that lie on its device; made by `VAE.device_arrays`.

    Takes anything with `__dlpack__` (torch, cupy, jax), float32 (x of a raw bundle uint8), C-contiguous, and reads it
    where it lies. Returns onnxruntime's OrtValues, which have `__dlpack__` too: `torch.from_dlpack(value)` is a tensor
    over the same memory. A call is one run, of all its rows: nothing is split at `max_batch`, and values are not
    looked at, so NaN passes. Only noise from a seed is made on the CPU and copied over.

    Calls are safe from several threads. Each raises `InputTypeError` for an array of another device or dtype,
    `InputError` for another shape, `RunError` where onnxruntime fails, and `ClosedError` once the model is closed.

    Raises:
        MissingExtra: this onnxruntime has no DLPack.
    """

    def __init__(self, rows: Callable[[], Rows]) -> None:
        self._rows = rows  # asked at each call, as a child that came by fork has others
        # the noise of `encode`, by its shape: graphs only read it
        self._zeros: tuple[tuple[int, ...], Any] | None = None
        self._ort_value()

    def encode(self, x: Any) -> tuple[Any, Any]:
        """Mean and logvar of each row of x [n, *input], two OrtValues [n, *latent] on the device."""
        rows = self._rows()
        rows.law()
        rows, value = self._for_x(rows, x)
        shape, kept = (value.shape()[0], *rows.latent), self._zeros
        if kept is None or kept[0] != shape:
            kept = self._zeros = shape, self._noise(np.zeros(shape, np.float32), rows)
        mean, logvar = self._encoder(rows, {"x": value, "eps": kept[1]}, ["mean", "logvar"])
        return mean, logvar

    def sample(self, x: Any, *, eps: Any = None, seed: int | None = None, first_row: int = 0) -> Any:
        """One z of each row's posterior, an OrtValue [n, *latent] on the device; the noise is that of `VAE.sample`.

        Args:
            x: [n, *input].
            eps: the noise itself, [n, *latent], on the device; exactly one of eps and seed.
            seed: 0 <= seed < 2^64.
            first_row: number of the first row.
        """
        rows, value = self._for_x(self._rows(), x)
        n = value.shape()[0]
        inputs = {"x": value}
        if eps is not None and seed is None and not first_row and not rows.manifest.deterministic:
            inputs["eps"] = self._import(eps, "eps", rows)
            self._check(inputs["eps"], "eps", rows.latent, FLOAT32, rows=n)
        else:
            drawn = rows.noise_of(eps, seed=seed, first_row=first_row, rows=n, allow_nan=False)
            if not rows.manifest.deterministic:
                inputs["eps"] = self._noise(drawn(0, n), rows)
        return self._encoder(rows, inputs, ["z"])[0]

    def decode(self, z: Any) -> Any:
        """x_hat of each row of z [n, *latent], an OrtValue [n, *input] on the device."""
        rows = self._rows()
        value = self._import(z, "z", rows)
        rows = rows.for_shape(tuple(value.shape()), "z")
        self._check(value, "z", rows.latent, FLOAT32)
        return session_of(rows.pair.decoder).run_on_device({"z": value}, ["x_hat"], rows.pair.device)[0]

    # -- in ------------------------------------------------------------------------------------------------------

    def _for_x(self, rows: Rows, x: Any) -> tuple[Rows, Any]:
        value = self._import(x, "x", rows)
        rows = rows.for_shape(tuple(value.shape()), "x")
        self._check(value, "x", rows.input, rows.dtype)
        return rows, value

    def _import(self, array: Any, name: str, rows: Rows) -> Any:
        """The caller's array as an OrtValue over the same memory."""
        kind = f"{type(array).__module__}.{type(array).__qualname__}"
        device = rows.pair.device
        if not hasattr(array, "__dlpack__"):
            raise InputTypeError(f"{name}: must be an array with __dlpack__ on {device}, got {kind}")
        wanted = (_CPU, 0) if device.kind == "cpu" else (_CUDA, device.index)
        try:
            found = tuple(map(int, array.__dlpack_device__()))
            share = beside_captures(array.__dlpack__, card=device.kind != "cpu")
            stream = {} if device.kind == "cpu" else {"stream": _LEGACY_STREAM}
            shared = self._ort_value().from_dlpack(share(**stream)) if found == wanted else None
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            told = "it is not C-contiguous" if "IsContiguous" in str(error) else str(error).splitlines()[0]
            raise InputTypeError(f"{name}: this {kind} cannot be shared through DLPack: {told}") from None
        if shared is None:
            raise InputTypeError(
                f"{name}: must lie on the model's device {device}, DLPack's {list(wanted)}, got {list(found)}; "
                "move it there first"
            )
        return shared

    @staticmethod
    def _check(value: Any, name: str, row: tuple[int, ...], dtype: np.dtype[Any], rows: int | None = None) -> None:
        """Holds dtype and shape, [rows, *row], against what was found; None for any number of rows but 0."""
        found, wanted = str(value.data_type()), "tensor(float)" if dtype == FLOAT32 else f"tensor({dtype})"
        if found != wanted:
            raise InputTypeError(f"{name}: must be {dtype}, as nothing is converted on the device; got {found}")
        shape = tuple(value.shape())
        if shape[1:] != row or not shape or shape[0] != (rows or shape[0]) or not shape[0]:
            told = ", ".join(map(str, (rows or "n", *row)))
            raise InputError(f"{name}: shape must be [{told}] with at least one row, got {list(shape)}")

    def _noise(self, eps: npt.NDArray[np.float32], rows: Rows) -> Any:
        """Noise made here, copied to the device."""
        device: Device = rows.pair.device
        card = device.kind != "cpu"
        try:
            make = beside_captures(self._ort_value().ortvalue_from_numpy, card=card)
            return make(np.ascontiguousarray(eps), device.kind, device.index)
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise failure(error, "eps", on_card=card) from error

    # -- running -------------------------------------------------------------------------------------------------

    @staticmethod
    def _encoder(rows: Rows, inputs: dict[str, Any], names: list[str]) -> list[Any]:
        return session_of(rows.pair.encoder).run_on_device(inputs, names, rows.pair.device)

    @staticmethod
    def _ort_value() -> Any:
        onnxruntime: ModuleType = import_onnxruntime()
        if not hasattr(onnxruntime.OrtValue, "from_dlpack"):
            raise MissingExtra(
                f"device arrays need an onnxruntime whose OrtValue has from_dlpack, got {onnxruntime.__version__}; "
                "pip install -U onnxruntime (or onnxruntime-gpu)"
            )
        return onnxruntime.OrtValue
