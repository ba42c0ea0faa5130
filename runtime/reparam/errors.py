"""Every error this project raises on purpose, in one tree under `ReparamError`.

Each class is also the builtin a caller would expect (ValueError, FileNotFoundError ...), so that programs may catch
either. A message is one line: the argument or file, the rule, what was found, what to do next. `exit_code` is what
the command line returns for it.
"""

from typing import ClassVar


def printable(text: str) -> str:
    """The text in one line that cannot steer a terminal: what a file holds may be shown, never obeyed."""
    spaced = text.replace("\r", " ").replace("\n", " ").replace("\t", " ")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in spaced)


class ReparamError(Exception):
    """Base of all errors of this project. The message is made printable, in one line."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class OptionError(ReparamError, ValueError):
    """An option, or a combination of options, that cannot be honoured."""

    exit_code = 2


class BundleError(ReparamError, ValueError):
    """A bundle that cannot be believed: its manifest, its files or its graphs."""

    exit_code = 3


class BundleNotFound(BundleError, FileNotFoundError):
    """No bundle at this place, or one of its files is missing."""


class CheckpointError(ReparamError, ValueError):
    """A training run or checkpoint that cannot be read."""

    exit_code = 3


class ExportError(ReparamError, ValueError):
    """A model that cannot be turned into graphs of the contract."""

    exit_code = 3


class InputError(ReparamError, ValueError):
    """An array, or a file of input data, that does not fit: rank, width, values, rows."""

    exit_code = 4


class InputTypeError(InputError, TypeError):
    """An array of a dtype, or an argument of a type, that is not converted silently."""


class InputNotFound(InputError, FileNotFoundError):
    """A file of input data that is not there."""


class DeviceUnavailable(ReparamError, RuntimeError):
    """The device that was asked for cannot run here, with what is missing."""

    exit_code = 5


class MissingExtra(ReparamError, ImportError):
    """A package that an extra of reparam brings is not installed."""

    exit_code = 5


class OutputError(ReparamError, OSError):
    """A result that could not be written: disk full, no permission, no such folder."""

    exit_code = 5


class ClosedError(ReparamError, RuntimeError):
    """A model that was used after `close()`."""


class ThreadError(ReparamError, RuntimeError):
    """A pinned model that was used from another thread than its own."""


class QueueFull(ReparamError, RuntimeError):
    """A call that a batcher's bounded queue has no room for; nothing of it ran."""

    exit_code = 5


class DeadlineExceeded(ReparamError, TimeoutError):
    """A call that was not answered within its timeout."""

    exit_code = 5


class RunError(ReparamError, RuntimeError):
    """onnxruntime failed while it ran a graph."""

    exit_code = 5


class OutOfMemory(RunError, MemoryError):
    """There is no memory for a run, not even for one row of it, or for one that is not taken in parts."""


class VerificationError(ReparamError, RuntimeError):
    """A check failed: a graph's numbers differ from its source by more than the bound."""

    exit_code = 6


class TrainingDiverged(ReparamError, ArithmeticError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""

    exit_code = 6
