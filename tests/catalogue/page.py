"""tests/catalogue.md, made of the rows: `PYTHONPATH=tests python -m catalogue.page` prints it."""

import sys

from catalogue.rows import ALL

HEAD = """# The catalogue of faults

What may be wrong, and the one line that it gets. Made of the rows in tests/catalogue by `make catalogue`; each row is
brought about and met at the public door by the test beside it, and tests/test_catalogue.py holds this page to them.

Each way in ends with one line on stderr, `error: ` and the message; with nothing on stdout; and with every file as it
was, but for the parts that the message says are kept. AT is a folder, `<words>` stand for what differs from case to
case. Exit codes: 2 usage, 3 a bundle or run, 4 input data, 5 the environment, 6 a check that failed, 128 and the number
of a signal. Python raises the class beside the code.
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    number = 0
    for group, rows in ALL.items():
        lines += [f"## {group.capitalize()}", "", f"Run by tests/{group}/test_catalogue.py.", ""]
        lines += ["| | fault | way in | message | exit | test |", "| --- | --- | --- | --- | --- | --- |"]
        for row in rows:
            number += 1
            code = f"{row.code} {row.error}".strip()
            cells = (str(number), row.fault, _code(row.way), _code(row.message), code, row.key)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _code(text: str) -> str:
    ticks = "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    return f"{ticks}{space}{text}{space}{ticks}".replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
