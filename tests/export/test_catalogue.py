"""Every fault of export that the catalogue names gets its one line, its exit code, and changes no file."""

from pathlib import Path

import pytest

from catalogue.door import wrong
from catalogue.row import Row
from catalogue.rows import EXPORT


@pytest.mark.timeout(60)
@pytest.mark.parametrize("row", EXPORT, ids=lambda row: row.key)
def test_a_fault_gets_the_line_that_the_catalogue_says(open_folder: Path, row: Row) -> None:
    assert wrong(row, open_folder) is None
