"""What arms are fed with: the same keyed rows, the same eps, and the z that fp32 on the CPU gives them."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.bundle.keyed import keyed_rows
from reparam.bundle.manifest import Manifest
from reparam.laws import noise
from reparam.vae import VAE

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Feeds:
    """Rows of a call.

    Attributes:
        x: [n, *input].
        eps: [n, *latent]; None of a deterministic model.
        z: [n, *latent], that of x and eps.
    """

    x: Array
    eps: Array | None
    z: Array

    def __len__(self) -> int:
        """How many rows."""
        return len(self.x)

    def rows(self, start: int, stop: int) -> "Feeds":
        """Some of them, as views."""
        return Feeds(self.x[start:stop], None if self.eps is None else self.eps[start:stop], self.z[start:stop])

    def first(self, n: int) -> "Feeds":
        """The first n; where there are fewer, from the first on again."""
        return Feeds(again(self.x, n), None if self.eps is None else again(self.eps, n), again(self.z, n))


def again(rows: Array, n: int) -> Array:
    """The first n rows, a view; where there are fewer, a copy that begins with the first again."""
    return rows[:n] if n <= len(rows) else np.resize(rows, (n, *rows.shape[1:]))


def inputs_of(manifest: Manifest, n: int, size: tuple[int, int] | None = None) -> tuple[Array, Array | None]:
    """Keyed rows of x [n, *input] and of eps [n, *latent], at another height and width where one is given."""
    at = manifest if size is None else manifest.at(size)
    x = keyed_rows(range(n), at, at.input.shape)
    law = at.latent.noise
    return x, None if at.deterministic or law is None else noise(law, 0, range(n), at.latent.shape)


def feeds_of(reference: VAE, n: int, size: tuple[int, int] | None = None) -> Feeds:
    """Keyed rows and the reference's z of them."""
    x, eps = inputs_of(reference.manifest, n, size)
    return Feeds(x, eps, reference.sample(x, eps=eps))
