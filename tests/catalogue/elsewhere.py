"""All rows of some groups in the process, folder and environment that it is started in; prints those that fail.

    python -m catalogue.elsewhere FOLDER GROUP...

FOLDER is made anew for each row.
"""

import os
import shutil
import sys
from pathlib import Path


def main() -> None:
    from catalogue.door import wrong
    from catalogue.rows import ALL

    folder = Path(sys.argv[1])
    rows = [row for group in sys.argv[2:] for row in ALL[group]]
    for row in rows:
        at = folder / row.key
        at.mkdir()
        finding = wrong(row, at)
        if finding is not None:
            print(f"{row.key}: {finding}")
        shutil.rmtree(at)
    print(f"{len(rows)} rows, {sys.getfilesystemencoding()}, writable: {os.access('.', os.W_OK)}")


if __name__ == "__main__":
    main()
