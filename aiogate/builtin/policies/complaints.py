"""What is wrong with a condition, for the person who wrote it: CEL's own words with less noise, and a caret.

Knows CEL's messages and nothing of what they are about.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from aiogate.builtin.policies.advice import of_token, of_types, of_word

__all__ = ["complaint", "whole", "with_caret"]

_ERROR: Final = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<what>.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '(?P<name>[^']*)'")
_NO_OVERLOAD: Final = re.compile(r"found no matching overload for '(?P<name>[^']*)' applied to '\((?P<types>.*)\)'")
_TOKEN: Final = re.compile(r"Syntax error: token recognition error at: '(?P<token>.*)'")
_INPUT: Final = re.compile(r"Syntax error: \w+ input '(?P<word>[^']*)'|reserved identifier: (?P<reserved>\w+)")
_EXPECTING: Final = re.compile(r" expecting .*")
_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_INDENT: Final = "      "
_EMPTY: Final = "expected a condition, such as '\"contractor\" in principal.roles'; this one is empty"


def complaint(said: str, text: str, known: Mapping[str, str]) -> str:
    """Return what CEL ``said`` of a condition, each error with its line and a caret.

    ``known`` are the names that there are, each with its type, or with the types in brackets that a function takes. The
    lines after the first are indented, as they stand below a path.
    """
    if not text.strip():
        return _EMPTY
    errors = list(_ERROR.finditer(said))
    for error in errors:
        token = _TOKEN.match(error["what"])
        if token and (advice := of_token(token["token"])):  # the others follow from it
            return with_caret(advice, int(error["line"]), int(error["column"]) - 1, 1, text)
    found = [
        with_caret(*_placed(error, text, known), text)
        for error in errors
        if len(errors) == 1 or not _TOKEN.match(error["what"])
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


def whole(message: str, text: str) -> str:
    """Return a message above the first line of a condition that is wrong from its beginning to its end."""
    lines = text.split("\n")
    number = next(number for number, line in enumerate(lines) if line.strip())
    line = lines[number].rstrip()
    margin = len(line) - len(line.lstrip())
    return with_caret(message, number + 1, margin, len(line) - margin, text)


def _placed(error: re.Match[str], text: str, known: Mapping[str, str]) -> tuple[str, int, int, int]:
    """Return the message, the line from 1, the column from 0 and how many characters are to blame."""
    what, line, column = error["what"], int(error["line"]), int(error["column"]) - 1
    if undeclared := _UNDECLARED.match(what):
        name = undeclared["name"]
        return _unknown(name, known), line, *_extent(name, text, line, column)
    if overload := _NO_OVERLOAD.match(what):
        name = overload["name"].strip("_@")  # CEL calls the operator ``==`` by the name ``_==_``, and ``in`` ``@in``
        types = overload["types"].replace("google.protobuf.Timestamp", "timestamp")
        message = f"{name!r} does not go with ({types})"
        advice = f"it takes {known[name]}" if name in known else of_types(name, tuple(types.split(", ")))
        return f"{message}; {advice}" if advice else message, line, *_extent(name, text, line, column)
    if (found := _INPUT.match(what)) and (advice := of_word(found["word"] or found["reserved"])):
        return advice, line, column, len(found["word"] or found["reserved"])
    return _EXPECTING.sub("", what).replace("'<EOF>'", "the end").removesuffix(" [INVALID_ARGUMENT]"), line, column, 1


def _unknown(name: str, known: Mapping[str, str]) -> str:
    root = name.partition(".")[0]
    if name in known:  # by another number of arguments
        return f"{name!r} takes {known[name]}"
    if advice := of_word(name):
        return advice
    if root == "body":
        return "'body' is only there where the rule says needs_body = true"
    close = get_close_matches(name, known, n=1)
    related = [one for one in known if one.startswith(f"{root}.")] or sorted({one.partition(".")[0] for one in known})
    return f"there is no {name!r}; " + (f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(related)}")


def _extent(name: str, text: str, line: int, column: int) -> tuple[int, int]:
    """Return where a name stands: CEL points at it, at its last dot, or at the bracket behind a function's name."""
    start = text.split("\n")[line - 1].rfind(name, 0, column + 1 + len(name)) if name else -1
    return (start, len(name)) if start >= 0 else (column, 1)
