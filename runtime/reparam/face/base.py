"""What the themes of the face stand on."""

from reparam.engine.rows import Rows


class Face:
    """A theme of `VAE`: its methods reach the model through `_rows`."""

    @property
    def _rows(self) -> Rows:
        """The sessions of this process."""
        raise NotImplementedError


def rows_of(model: Face) -> Rows:
    """The engine behind a model, for the rooms that stand on it."""
    return model._rows  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001  the class above
