"""The smallest network that is a VAE: one layer each way, as two graphs, and in numpy for its golden vectors."""

import math

import numpy as np
import numpy.typing as npt

from reparam.laws import Law, noise
from reparam.testing.messages import floats, graph, integers, model, node, value

_Array = npt.NDArray[np.float64]


class Network:
    """mean = W x + b, logvar = tanh(V x) - 1, and back a = U z + c, x_hat = a or sigmoid(a)."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        latent_shape: tuple[int, ...],
        *,
        logits: bool,
        deterministic: bool,
        seed: int,
    ) -> None:
        self.input: tuple[int, ...] = input_shape
        self.latent: tuple[int, ...] = latent_shape
        self._logits, self._deterministic, self._seed = logits, deterministic, seed
        wide, narrow = math.prod(input_shape), math.prod(latent_shape)
        self._mean, self._logvar = self._weights(0, wide, narrow), self._weights(1, wide, narrow)
        self._back = self._weights(2, narrow, wide)
        self._mean_bias, self._back_bias = self._weights(3, 1, narrow), self._weights(4, 1, wide)

    def _weights(self, draw: int, rows: int, width: int) -> npt.NDArray[np.float32]:
        """[rows, width], uniform with variance 1 / rows: no log or cosine, so the same on every machine."""
        return noise("uniform", self._seed, range(rows), (width,), draw=draw) / np.float32(math.sqrt(rows))

    # -- as graphs -----------------------------------------------------------------------------------------------

    def encoder(self) -> bytes:
        """The bytes of encoder.onnx."""
        mean = "z" if self._deterministic else "mean"
        nodes = [
            node("Reshape", "x wide", "flat"),
            node("MatMul", "flat W", "Wx"),
            node("Add", "Wx b", "flat_mean"),
            node("Reshape", "flat_mean latent", mean),
        ]
        tensors = [
            integers("wide", -1, math.prod(self.input)),
            floats("W", self._mean),
            floats("b", self._mean_bias[0]),
            integers("latent", -1, *self.latent),
        ]
        x, eps = value("x", "batch", *self.input), value("eps", "batch", *self.latent)
        if self._deterministic:
            return _file(nodes, [x], [value("z", "batch", *self.latent)], tensors)
        nodes += [
            node("MatMul", "flat V", "Vx"),
            node("Tanh", "Vx", "tanh"),
            node("Sub", "tanh one", "flat_logvar"),
            node("Reshape", "flat_logvar latent", "logvar"),
            node("Mul", "logvar half", "log_std"),
            node("Exp", "log_std", "std"),
            node("Mul", "std eps", "noise"),
            node("Add", "mean noise", "z"),
        ]
        tensors += [floats("V", self._logvar), floats("one", [1.0]), floats("half", [0.5])]
        outputs = [value(name, "batch", *self.latent) for name in ("mean", "logvar", "z")]
        return _file(nodes, [x, eps], outputs, tensors)

    def decoder(self) -> bytes:
        """The bytes of decoder.onnx."""
        raw = "logits" if self._logits else "x_hat"
        nodes = [
            node("Reshape", "z narrow", "flat"),
            node("MatMul", "flat U", "Uz"),
            node("Add", "Uz c", "flat_raw"),
            node("Reshape", "flat_raw input", raw),
        ]
        if self._logits:
            nodes.append(node("Sigmoid", "logits", "x_hat"))
        tensors = [
            integers("narrow", -1, math.prod(self.latent)),
            floats("U", self._back),
            floats("c", self._back_bias[0]),
            integers("input", -1, *self.input),
        ]
        names = ("x_hat", "logits") if self._logits else ("x_hat",)
        outputs = [value(name, "batch", *self.input) for name in names]
        return _file(nodes, [value("z", "batch", *self.latent)], outputs, tensors)

    # -- in numpy ------------------------------------------------------------------------------------------------

    def vectors(self, rows: int, law: Law) -> dict[str, npt.NDArray[np.float32]]:
        """Rows of x from 0 to 1, eps and every output of both graphs, float32 [rows, ...], computed in float64."""
        x = 0.5 + noise("uniform", self._seed, range(rows), self.input, stream="data") / (2 * math.sqrt(3))
        found: dict[str, _Array] = {"x": x.astype(np.float64)}
        flat = found["x"].reshape(rows, -1)
        mean = (flat @ self._mean + self._mean_bias[0]).reshape(rows, *self.latent)
        if self._deterministic:
            found["z"] = mean
        else:
            eps = noise(law, self._seed, range(rows), self.latent).astype(np.float64)
            logvar = (np.tanh(flat @ self._logvar) - 1).reshape(mean.shape)
            found |= {"eps": eps, "mean": mean, "logvar": logvar, "z": mean + np.exp(logvar / 2) * eps}
        z = found["z"].astype(np.float32).reshape(rows, -1)
        raw = (z.astype(np.float64) @ self._back + self._back_bias[0]).reshape(rows, *self.input)
        found |= {"x_hat": 1 / (1 + np.exp(-raw)), "logits": raw} if self._logits else {"x_hat": raw}
        return {name: array.astype(np.float32) for name, array in found.items()}


def _file(nodes: list[bytes], inputs: list[bytes], outputs: list[bytes], tensors: list[bytes]) -> bytes:
    return model(graph(nodes, inputs, outputs, *((5, tensor) for tensor in tensors)))
