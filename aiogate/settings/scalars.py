"""How single values are written in a config, type by type; strict: nothing is converted in silence.

Each function is a hook of cattrs: a plain TOML value and the type to its fact, or a ``MismatchError``. Knows nothing of
tables and arrays.
"""

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, get_args

from aiogate.agent import Seconds, UsageRule
from aiogate.claims import Rate
from aiogate.settings.faults import fail, refuse
from aiogate.settings.interpolate import Interpolated
from aiogate.settings.model import Address, Size, Workers
from aiogate.settings.usage_rule import usage_rule
from aiogate.settings.workers import AUTO, MOST_WORKERS

__all__ = ["SCALARS", "UNITS", "one_of"]

Hook = Callable[[Any, Any], Any]

_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,15})\s*(?P<unit>B|KiB|MiB|GiB)")
_DURATION: Final = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,3})?)\s*(?P<unit>ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_ADDRESS: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:\s]+)):(?P<port>[0-9]{1,5})")
_LAST_PORT: Final = 65535


def _flag(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        refuse("true or false", value)
    return value


def _text(value: object, _: object) -> str:
    if not isinstance(value, str):
        refuse("a string", value)
    return str(value)


def _integer(value: object, _: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        refuse("a whole number", value)
    return value


def _decimal(value: object, _: object) -> Decimal:
    if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
        refuse("a number", value)
    number = Decimal(value)
    if not number.is_finite() or math.isinf(float(number)):
        refuse("a finite number", value)
    return number


def _float(value: object, kind: object) -> float:
    return float(_decimal(value, kind))


def _moment(value: object, _: object) -> datetime:
    if not isinstance(value, datetime):
        refuse("a date and time such as 2027-01-31T00:00:00Z", value)
    if value.tzinfo is None:
        fail(f"expected a time zone, such as {value.isoformat()}Z")
    return value


def _day(value: object, _: object) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        refuse("a date such as 2027-01-31", value)
    return value


def _size(value: object, _: object) -> Size:
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    size = int(match["number"]) * UNITS[match["unit"]] if match else value
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        refuse("a size such as 1048576, '64KiB', '100MiB' or '1GiB'", value)
    return Size(size)


def _workers(value: object, _: object) -> Workers:
    if isinstance(value, str) and value == "auto":
        return Workers(AUTO)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_WORKERS:
        refuse(f"a number of processes from 1 to {MOST_WORKERS}, or 'auto'", value)
    return Workers(value)


def _seconds(value: object, kind: object) -> Seconds:
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None:
        return Seconds(float(match["number"]) * _SECONDS[match["unit"]])
    if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
        refuse("a duration such as '5s', '500ms' or '1m'", value)
    return Seconds(_decimal(value, kind))


def _address(value: object, _: object) -> Address:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match["port"]) > _LAST_PORT:
        refuse("'host:port' such as '127.0.0.1:8080' or '[::1]:8080'", value)
    return Address(match["six"] or match["host"], int(match["port"]))


def _rate(value: object, _: object) -> Rate:
    if not isinstance(value, str):
        refuse("a rate such as '100/minute', '5/10s' or '1_000/day'", value)
    try:
        return Rate.parse(value)
    except ValueError as error:
        fail(str(error))  # it quotes what it was given by ``repr``, which is safe of an interpolated text


def one_of(value: object, kind: object) -> object:
    """Return a value that a ``Literal`` allows."""
    choices = get_args(kind)
    fitting = [choice for choice in choices if choice == value and isinstance(choice, bool) == isinstance(value, bool)]
    if not fitting:
        plain = isinstance(value, str) and not isinstance(value, Interpolated)
        close = get_close_matches(str(value), [str(choice) for choice in choices], n=1) if plain else []
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        refuse(f"one of {', '.join(map(repr, choices))}{hint}", value)
    return fitting[0]


SCALARS: Final[dict[type, Hook]] = {
    bool: _flag,
    str: _text,
    int: _integer,
    float: _float,
    Decimal: _decimal,
    datetime: _moment,
    date: _day,
    Size: _size,
    Address: _address,
    Rate: _rate,
    Seconds: _seconds,
    UsageRule: usage_rule,
    Workers: _workers,
}
