"""What is wrong with a value, and where in it; for everything in this room that checks values.

Knows nothing of the rest of the config; seen from there, a fault is a problem with a path (``dotted``).
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Final, NoReturn

import attrs
import orjson

__all__ = ["Fault", "Faults", "MismatchError", "Place", "dotted", "fail", "refuse", "refuse_kind", "unknown"]

Place = tuple[str | int, ...]
"""Where a value stands: ``("plugins", "api_keys", "keys", 2, "sha256")``."""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_KINDS: Final[dict[type, str]] = {
    dict: "a table",
    list: "an array",
    str: "a string",
    bool: "true or false",
    int: "a number",
    Decimal: "a number",
}


@attrs.frozen
class Fault:
    """One thing that is wrong with the value at ``place``; the message is safe to show."""

    place: Place
    message: str


class MismatchError(ValueError):
    """A value is not what its place takes.

    ``faults`` are all that is wrong in it, with places relative to it.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Keep the faults."""
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in self.faults))


@attrs.define
class Faults:
    """Collects faults, so that one does not hide the next."""

    all: list[Fault] = attrs.field(factory=list)

    def add(self, step: str | int, message: str) -> None:
        """Take note of one fault of one item."""
        self.all.append(Fault((step,), message))

    @contextmanager
    def at(self, step: str | int) -> Iterator[None]:
        """Take note of what is wrong within the block, which is about one item of the value."""
        try:
            yield
        except MismatchError as error:
            self.all.extend(Fault((step, *fault.place), fault.message) for fault in error.faults)

    def raise_any(self) -> None:
        """Raise what was found, if anything was, as one error."""
        if self.all:
            raise MismatchError(self.all)


def refuse(expected: str, value: object) -> NoReturn:
    """Refuse a value of the wrong kind or form."""
    fail(f"expected {expected}, got {_found(value)}")


def refuse_kind(expected: str, value: object) -> NoReturn:
    """Refuse a value where a table or an array belongs; it may be the secret that belongs into it and is not shown."""
    kind = next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "a date or time")
    fail(f"expected {expected}, got {kind}")


def fail(message: str) -> NoReturn:
    """Refuse a value with a sentence of its own."""
    raise MismatchError([Fault((), message)])


def unknown(name: str, known: Iterable[str]) -> str:
    """Return what to say of a key that nobody knows."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names) or 'none'}"
    return f"unknown key; {hint}"


def dotted(place: Place, path: str = "") -> str:
    """Return a place, below ``path``, as a person writes it: ``plugins.api_keys.keys[2].sha256``."""
    for step in place:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += ("." if path else "") + (step if _BARE_KEY.fullmatch(step) else orjson.dumps(step).decode())
    return path


def _found(value: object) -> str:
    """Name a value as TOML writes it, and of a table or an array the kind."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return repr(value)
        case dict() | list():
            return _KINDS[type(value)]
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)
