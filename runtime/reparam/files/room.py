"""Room on a disk, looked up before anything is written there."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from reparam.errors import OutputError
from reparam.files.reasons import as_output_error

SPARE: Final = 2**20  # bytes of a disk that are left to journals and folders


def check_room(needs: Iterable[tuple[Path, Path, int]]) -> None:
    """Refuses files that their disks have no room for.

    Args:
        needs: for each file its name for messages, its folder, and how many more bytes it takes.

    Raises:
        OutputError: with what is needed and what is free.
    """
    disks: dict[int, int] = {}
    for told, folder, count in needs:
        with as_output_error(told):
            disk = folder.stat().st_dev
            disks[disk] = disks.get(disk, 0) + count
            free = shutil.disk_usage(folder).free
        if disks[disk] > max(0, free - SPARE):
            raise OutputError(
                f"{told}: {_told(disks[disk])} are needed and the disk has {_told(free)} free; "
                "free space or choose another disk"
            )


def _told(count: int) -> str:
    for power, unit in ((5, "PB"), (4, "TB"), (3, "GB"), (2, "MB")):
        if count >= 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count:,} bytes"
