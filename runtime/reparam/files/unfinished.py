"""Files in the making with their journal: begun, continued after a kill or a full disk, and given their names."""

import contextlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from reparam.errors import InputError, OptionError
from reparam.files.atomic import settle
from reparam.files.journal import Journal, first_difference, read_journal, remove_journal, write_journal
from reparam.files.part import PartFile
from reparam.files.reasons import as_output_error
from reparam.files.room import check_room
from reparam.files.spans import Span, rows_in, union


class Unfinished:
    """Files of as many rows each, locked, and the spans of rows that are done.

    Attributes:
        parts: the files.
        journal: the place of their one journal, beside the first of them.
        identity: what their rows depend on.
        done: spans of rows that are on the disk.
    """

    def __init__(self, parts: Sequence[PartFile], identity: Mapping[str, str], done: tuple[Span, ...]) -> None:
        self.parts: tuple[PartFile, ...] = tuple(parts)
        self.journal: Path = journal_of(parts)
        self.identity: dict[str, str] = dict(identity)
        self.done: tuple[Span, ...] = done

    def record(self, span: Span) -> None:
        """Remembers rows that are on the disk, for good; `OutputError` where that fails."""
        self.done = union([*self.done, span])
        write_journal(self.journal, Journal(identity=self.identity, done=self.done), told=_told_journal(self.parts))

    def publish(self) -> None:
        """Gives the files their names, once all rows are done, and forgets the journal.

        Killed between two names, the next `unfinished(resume=True)` gives the second.

        Raises:
            OutputError: a file cannot be moved.
        """
        for part in self.parts:
            part.publish()
        for folder in {part.place.parent for part in self.parts}:
            settle(folder)
        with contextlib.suppress(OSError):  # it says that all is done, which is so
            remove_journal(self.journal)

    def discard(self) -> None:
        """Removes the files and their journal."""
        _discard(self.parts)


def journal_of(parts: Sequence[PartFile]) -> Path:
    """Where the journal of files lies."""
    return parts[0].path.with_name(parts[0].path.name + ".json")


def _told_journal(parts: Sequence[PartFile]) -> Path:
    """The same as messages say it: beside the result as the user named it."""
    return Path(f"{parts[0].told}.json")


@contextlib.contextmanager
def unfinished(
    parts: Sequence[PartFile], identity: Mapping[str, str], *, resume: bool, note: Callable[[str], None]
) -> Generator[Unfinished]:
    """Files to write rows into, new or continued, locked while the block runs.

    Where the block raises, the files stay for a later resume if rows of them are done, and go if none are, or if the
    input is at fault and has to change.

    Args:
        parts: files of as many rows each.
        identity: what their rows depend on, in words; all of it must be as it was for a resume.
        resume: go on where an earlier process stopped, if there is anything.
        note: told in one line what happens to an earlier process's files.

    Raises:
        OptionError: what is there is not ours, or was begun with something else in its identity.
        OutputError: the disk has too little room, another process writes these files, or they cannot be made.
    """
    old = read_journal(journal_of(parts), told=_told_journal(parts))
    there = [part.told for part in parts if os.path.lexists(part.path)]
    if old is None and there:
        raise OptionError(f"{there[0]}: exists, and no journal says what it is; move it away, or remove it")
    with contextlib.ExitStack() as locks:
        _lock(parts, locks)
        _check_room(parts)
        if resume and old is not None:
            making = _continued(parts, identity, old)
        else:
            if resume:
                note(f"--resume: nothing was begun at {parts[0].told}; began at the first row")
            elif old is not None and there:
                note(f"{parts[0].told}: rows of an earlier run, {rows_in(old.done)} of them done, were overwritten")
            making = _begun(parts, identity)
            _lock(parts, locks)
        try:
            yield making
        except InputError:
            making.discard()
            raise
        except BaseException:
            if not making.done:
                making.discard()
            raise


def _begun(parts: Sequence[PartFile], identity: Mapping[str, str]) -> Unfinished:
    _discard(parts)
    making = Unfinished(parts, identity, ())
    try:
        # first: a file without a journal is a stranger
        write_journal(making.journal, Journal(identity=making.identity), told=_told_journal(parts))
        for part in parts:
            part.create()
    except BaseException:
        making.discard()
        raise
    return making


def _continued(parts: Sequence[PartFile], identity: Mapping[str, str], old: Journal) -> Unfinished:
    path = parts[0].told
    difference = first_difference(old.identity, identity)
    if difference is not None:
        raise OptionError(
            f"--resume: {path} was begun with another {difference}; "
            "ask for what it was begun with, or leave out --resume to start over"
        )
    rows = parts[0].shape[0]
    done = union(old.done)
    if any(not 0 <= start < stop <= rows for start, stop in old.done):
        raise OptionError(f"--resume: the journal of {path} names rows that it does not have; leave out --resume")
    whole = rows_in(done) == rows
    for part in parts:
        if part.is_whole(part.path) or (whole and not part.path.exists() and part.is_whole(part.place)):
            continue  # the latter was given its name before the process was killed
        if not done:  # the process ended before it was whole
            with as_output_error(part.told):
                part.path.unlink(missing_ok=True)
            part.create()
            continue
        raise OptionError(f"--resume: {part.told} is not the file that its journal tells of; leave out --resume")
    return Unfinished(parts, identity, done)


def _lock(parts: Sequence[PartFile], locks: contextlib.ExitStack) -> None:
    for part in parts:
        with contextlib.suppress(FileNotFoundError):
            locks.enter_context(part.locked())


def _discard(parts: Sequence[PartFile]) -> None:
    """The files first: a file without a journal would be a stranger."""
    for part in parts:
        with as_output_error(part.told), contextlib.suppress(FileNotFoundError):
            part.path.unlink()
    with as_output_error(parts[0].told):
        remove_journal(journal_of(parts))


def _allocated(path: Path) -> int:
    """Bytes of the disk that a file has already; 0 where the system does not tell."""
    try:
        return int(getattr(path.stat(), "st_blocks", 0)) * 512
    except FileNotFoundError:
        return 0


def _check_room(parts: Sequence[PartFile]) -> None:
    """Refuses files that their disks have no room for; what an earlier process wrote is used, or its room is."""
    check_room((part.told, part.place.parent, max(0, part.nbytes - _allocated(part.path))) for part in parts)
