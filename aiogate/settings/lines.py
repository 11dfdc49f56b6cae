"""On which line of a TOML file a key stands; only asked for when there is something to complain about.

tomllib tells no positions, so this reads the text again, statement by statement, and lets tomllib read the keys.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["line_of"]

_KEY: Final = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+|\s*\.\s*)+?)\s*=""")
_INDEX: Final = re.compile(r"\[\d+\]$")


def line_of(text: str, path: str) -> int | None:
    """Return the line of ``path`` (``agents.support.url``, ``plugins.x.keys[2].id``), or of what encloses it."""
    places = dict(_places(text))
    while path:
        if path in places:
            return places[path]
        path = _INDEX.sub("", path) if _INDEX.search(path) else path.rpartition(".")[0]
    return None


def _places(text: str) -> Iterator[tuple[str, int]]:
    """Yield each key's path and line, the first of a path last so that it wins in a dictionary."""
    found: list[tuple[str, int]] = []
    table = ""
    counts: dict[str, int] = {}
    for number, statement in _statements(text):
        if statement.lstrip().startswith("["):
            table = _table(statement, counts)
            found.append((table, number))
        elif (match := _KEY.match(statement)) and (keys := _keys(f"{match[1]} = 0")):
            names = [table] if table else []
            for key in keys:
                names.append(key)
                found.append((".".join(names), number))
    return reversed(found)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement with its first line's number; a value over several lines is one statement."""
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not pending:
            start = number
        pending += line + "\n"
        try:
            tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        if pending.strip() and not pending.lstrip().startswith("#"):
            yield start, pending
        pending = ""


def _table(header: str, counts: dict[str, int]) -> str:
    keys = _keys(header)
    if not header.lstrip().startswith("[["):
        return _with_indices(keys, counts)
    path = _with_indices(keys[:-1], counts)
    path = f"{path}.{keys[-1]}" if path else keys[-1]
    counts[path] = counts.get(path, -1) + 1
    return f"{path}[{counts[path]}]"


def _with_indices(keys: list[str], counts: dict[str, int]) -> str:
    path = ""
    for key in keys:
        path = f"{path}.{key}" if path else key
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path


def _keys(statement: str) -> list[str]:
    """Return the keys of ``[a.b]``, ``[[a.b]]`` or ``a.b = 0``."""
    try:
        value: Any = tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return []
    keys: list[str] = []
    while isinstance(value, (dict, list)) and value:
        if isinstance(value, list):
            value = value[0]
        else:
            keys.append(next(iter(value)))
            value = value[keys[-1]]
    return keys
