"""What is known of files in the making: of what, and which rows of them are on the disk."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from reparam.errors import OptionError, OutputError
from reparam.files.atomic import settle
from reparam.files.reasons import as_output_error
from reparam.files.regular import read_regular
from reparam.files.spans import Span

_LARGEST: Final = 2**24  # bytes that a journal may have; ours have a few hundred


class Journal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A journal's content.

    Attributes:
        reparam: the version of this format.
        identity: what the rows depend on: a name in words, and its value.
        done: spans of rows that are on the disk, in every file.
    """

    reparam: Literal[1] = 1
    identity: dict[str, str]
    done: tuple[Span, ...] = ()


def read_journal(path: Path, *, told: Path) -> Journal | None:
    """The journal at a place, or None where there is none; `told` is what messages call it.

    Raises:
        OptionError: something else is there.
        OutputError: it cannot be read.
    """
    try:
        return msgspec.json.decode(read_regular(path, most=_LARGEST), type=Journal)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{told}: cannot be read ({error.strerror or error}); check the disk") from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise OptionError(f"{told}: is no journal of reparam's ({error}); move it away, or remove it") from None


def write_journal(path: Path, journal: Journal, *, told: Path) -> None:
    """Puts a journal in place, whole or not at all; `OutputError` where that fails, with what it is `told` as.

    The temporary file has one name, so that a killed process leaves one at most.
    """
    with as_output_error(told):
        temporary = _temporary(path)
        try:
            with temporary.open("wb") as file:
                file.write(msgspec.json.encode(journal))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        settle(path.parent)


def remove_journal(path: Path) -> None:
    """Removes a journal, where there is one."""
    path.unlink(missing_ok=True)
    _temporary(path).unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def first_difference(old: Mapping[str, str], new: Mapping[str, str]) -> str | None:
    """The first thing in which two identities differ, in words; None where they are the same.

    Examples:
        >>> first_difference({"seed": "7"}, {"seed": "8"})
        'seed (7, now 8)'
    """
    for name in (*new, *(name for name in old if name not in new)):
        if old.get(name) != new.get(name):
            return f"{name} ({_short(old.get(name))}, now {_short(new.get(name))})"
    return None


def _short(value: str | None) -> str:
    if value is None:
        return "none"
    return value if len(value) <= 40 else f"{value[:12]}..."
