"""What is wrong with a condition, for the person who wrote it: CEL's own words with less noise, and a caret.

Knows CEL's messages and nothing of what they are about.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

__all__ = ["complaint", "with_caret"]

_ERROR: Final = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<what>.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '(?P<name>[^']*)'")
_NO_OVERLOAD: Final = re.compile(r"found no matching overload for '(?P<name>[^']*)' applied to '\((?P<types>.*)\)'")
_EXPECTING: Final = re.compile(r" expecting .*")
_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_INDENT: Final = "      "


def complaint(said: str, text: str, known: Iterable[str]) -> str:
    """Return what CEL ``said`` of a condition, each error with its line and a caret; ``known`` are the names there are.

    The lines after the first are indented, as they stand below a path.
    """
    found = [
        with_caret(*_placed(match, text, tuple(known)), text)
        for match in _ERROR.finditer(said)
        if not match["what"].startswith("Syntax error: token recognition") or said.count("ERROR:") == 1
    ]
    return f"\n{_INDENT}".join(found) if found else _STATUS.sub("", _STATUS.sub("", said))


def with_caret(message: str, line: int, column: int, length: int, text: str) -> str:
    """Return a message above the line (from 1) of ``text`` with carets below ``length`` characters from ``column``."""
    lines = text.split("\n")
    shown = lines[line - 1].rstrip() if line <= len(lines) else ""
    if not shown.strip():
        return message
    margin = len(shown) - len(shown.lstrip())
    # a tab stays one, so that the caret stands where the character does
    gap = "".join("\t" if sign == "\t" else " " for sign in shown[margin:column])
    return f"{message}\n{_INDENT}{shown[margin:]}\n{_INDENT}{gap}{'^' * length}"


def _placed(error: re.Match[str], text: str, known: tuple[str, ...]) -> tuple[str, int, int, int]:
    """Return the message, the line from 1, the column from 0 and how many characters are to blame."""
    what, line, column = error["what"], int(error["line"]), int(error["column"]) - 1
    if undeclared := _UNDECLARED.match(what):
        name = undeclared["name"]
        return _unknown(name, known), line, *_extent(name, text, line, column)
    if overload := _NO_OVERLOAD.match(what):
        name = overload["name"].strip("_")  # CEL calls the operator ``==`` by the name ``_==_``
        return f"{name!r} does not go with ({overload['types']})", line, *_extent(name, text, line, column)
    return _EXPECTING.sub("", what).replace("'<EOF>'", "the end").removesuffix(" [INVALID_ARGUMENT]"), line, column, 1


def _unknown(name: str, known: tuple[str, ...]) -> str:
    root = name.partition(".")[0]
    if root == "body":
        return "'body' is only there where the rule says needs_body = true"
    close = get_close_matches(name, known, n=1)
    related = [one for one in known if one.startswith(f"{root}.")] or sorted({one.partition(".")[0] for one in known})
    return f"there is no {name!r}; " + (f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(related)}")


def _extent(name: str, text: str, line: int, column: int) -> tuple[int, int]:
    """Return where a name stands: CEL points at it, at its last dot, or at the bracket behind a function's name."""
    start = text.split("\n")[line - 1].rfind(name, 0, column + len(name)) if name else -1
    return (start, len(name)) if start >= 0 else (column, 1)
