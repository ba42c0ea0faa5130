"""What the themes of the face stand on."""

from reparam.engine.deadline import Deadline
from reparam.engine.rows import Rows


class Face:
    """A theme of `VAE`: its methods reach the model through `_rows`."""

    @property
    def _rows(self) -> Rows:
        """The sessions of this process."""
        raise NotImplementedError

    def _within(self, timeout: float | None) -> Rows:
        """The sessions, with runs that end in so many seconds from now; `OptionError` where that is no time."""
        return self._rows if timeout is None else self._rows.within(Deadline(timeout))


def rows_of(model: Face) -> Rows:
    """The engine behind a model, for the rooms that stand on it."""
    return model._rows  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001  the class above
