"""Why something could not be written, in one line that says what to do."""

import contextlib
import errno
from collections.abc import Generator
from pathlib import Path
from typing import Final

from reparam.errors import OutputError, ReparamError

_ADVICE: Final = {
    errno.ENOSPC: "free space or choose another disk",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.ENOENT: "make the folder first",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
}
if hasattr(errno, "EDQUOT"):  # not on Windows
    _ADVICE[errno.EDQUOT] = "free space or choose another disk"


@contextlib.contextmanager
def as_output_error(path: Path) -> Generator[None]:
    """Turns the system's errors of a write into one line that names the file and what to do."""
    if "\0" in str(path):
        raise OutputError(f"{path}: cannot be written (no name holds a null byte); choose another name")
    try:
        yield
    except ReparamError:
        raise
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "check the path and the disk")
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error
