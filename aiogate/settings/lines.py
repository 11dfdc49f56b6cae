"""On which line of a TOML file a key stands; only asked for when there is something to complain about.

tomllib tells no positions, so this reads the text again, statement by statement, and lets tomllib read the keys.
"""

import re
import tomllib
from typing import Any, Final, Self

import attrs

from aiogate.settings.faults import Place, dotted

__all__ = ["LAST_STEP", "Lines"]

LAST_STEP: Final = re.compile(r'(?:\[[0-9]+\]|\.?(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"))$')
"""What a dotted path ends in."""


@attrs.define
class Lines:
    """The lines of one text, by path."""

    _lines: dict[str, int] = attrs.field(factory=dict)
    _last_table: dict[Place, int] = attrs.field(factory=dict)
    _table: Place = ()

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the lines of a text that is valid TOML."""
        lines = cls()
        statement: list[str] = []
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            keys = _opened_by(line)
            # within a value of several lines, what looks like a statement is none: the value is not whole yet
            if keys and _parsed("\n".join(statement)) is not None:
                lines._open(keys, line, number)
                statement = []
            statement.append(line)
        return lines

    def line(self, path: str) -> int | None:
        """Return the line, from 1, of a path or of the closest one around it; None when nothing there is written."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = LAST_STEP.sub("", path)
        return None

    def _open(self, keys: tuple[str, ...], line: str, number: int) -> None:
        if line.lstrip().startswith("[["):
            place = self._table = self._next_table(keys)
        elif line.lstrip().startswith("["):
            place = self._table = self._numbered(keys)
        else:
            place = (*self._table, *keys)
        for length in range(1, len(place) + 1):
            self._lines.setdefault(dotted(place[:length]), number)

    def _next_table(self, keys: tuple[str, ...]) -> Place:
        array = (*self._numbered(keys[:-1]), keys[-1])
        self._last_table[array] = self._last_table.get(array, -1) + 1
        return (*array, self._last_table[array])

    def _numbered(self, keys: tuple[str, ...]) -> Place:
        """Put the number of the last table in behind each key that names an array of tables."""
        place: Place = ()
        for key in keys:
            place = (*place, key)
            if place in self._last_table:
                place = (*place, self._last_table[place])
        return place


def _opened_by(line: str) -> tuple[str, ...]:
    """Return the keys of the header or assignment that a line begins, ``()`` when it begins none."""
    if line.lstrip().startswith("["):
        return _keys(_parsed(line))
    position = line.find("=")
    while position >= 0:
        if table := _parsed(f"{line[:position]}= 0"):
            return _keys(table)
        position = line.find("=", position + 1)
    return ()


def _keys(value: object) -> tuple[str, ...]:
    """Return the keys on the one path through what ``[a.b]``, ``[[a.b]]`` or ``a.b = 0`` parses to."""
    keys: list[str] = []
    while isinstance(value, (dict, list)) and value:
        if isinstance(value, dict):
            key, value = next(iter(value.items()))
            keys.append(key)
        else:
            value = value[0]
    return tuple(keys)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except ValueError:
        return None
