"""A config file to the plain tables that it holds; for the loader.

Knows TOML; knows nothing of what the tables mean. Whatever is wrong becomes a ``SettingsError``.
"""

import re
import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from aiogate.errors import Problem, SettingsError

__all__ = ["read_tables", "read_text"]

_POSITION: Final = re.compile(r" \(at line (?P<line>[0-9]+), column (?P<column>[0-9]+)\)$")
_SAID: Final = {"Illegal character '\\n'": "a text has no closing quote on its line"}


def read_text(path: Path) -> str:
    """Return the text of a config file; raises ``SettingsError`` when there is none."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(str(path), [Problem("", f"cannot be read: {error.strerror or error}")]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsError(str(path), [Problem("", "expected UTF-8 text, got other bytes", line)]) from None


def read_tables(path: Path, text: str) -> dict[str, Any]:
    """Return what the text holds, numbers with a point as ``Decimal``; raises ``SettingsError`` when it is no TOML."""
    try:
        return tomllib.loads(text, parse_float=_exact)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        position = _POSITION.search(message)
        line = int(position["line"]) if position else None
        place = f", column {position['column']}" if position else ""
        what = _POSITION.sub("", message)
        problem = Problem("", f"not valid TOML: {_SAID.get(what, what)}{place}", line)
    except RecursionError:
        problem = Problem("", "not valid TOML: nested too deeply")
    except ValueError:  # Python's own limit on the digits of an int
        problem = Problem("", "not valid TOML: a number of too many digits")
    raise SettingsError(str(path), [problem])


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent that no Decimal holds; refused later, where its place is known
        return Decimal("Infinity")
