"""Rows as text: aligned columns for people, CSV for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["csv_text", "table"]

_GAP = "  "


def table(heading: Sequence[str], body: Sequence[Sequence[str]], foot: Sequence[str] | None, *, left: int) -> str:
    """Return aligned lines; the first ``left`` columns are texts, the others figures."""
    lines = [heading, *body, *([foot] if foot is not None else [])]
    widths = [max(len(_visible(line[column])) for line in lines) for column in range(len(heading))]
    shown = [_line(line, widths, left) for line in lines]
    rule = "-" * max(map(len, shown))
    if foot is not None:
        shown.insert(-1, rule)
    return "".join(f"{line}\n" for line in (shown[0], rule, *shown[1:]))


def csv_text(heading: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows as CSV (RFC 4180, with line feeds), under their heading also where there are none. None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, heading, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return text.getvalue()


def _harmless(value: object) -> object:
    """Take from a text what makes a formula of it in a spreadsheet: names may come from clients."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


def _line(line: Sequence[str], widths: Sequence[int], left: int) -> str:
    cells = [
        _visible(cell).ljust(width) if column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return _GAP.join(cells).rstrip()


def _visible(text: str) -> str:
    """Escape what does not print, so that a name cannot move a cursor."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
