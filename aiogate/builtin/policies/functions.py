"""The functions that conditions may call: ``ip_in``, ``time_between``, ``glob``.

What one cannot read it raises ``ValueError`` about, which makes the condition fail and so deny; what stands in the
text of a condition is read when the config is loaded (``literals``). Knows nothing of CEL's library.
"""

import functools
import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from typing import Final

import attrs

from aiogate.builtin.policies.calls import calls_in
from aiogate.builtin.policies.conditions import Function

__all__ = ["Mistake", "functions", "glob", "ip_in", "literals", "time_between"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_KEPT: Final = 4096
_TIME: Final = re.compile(r"(?P<hour>[01][0-9]|2[0-4]):(?P<minute>[0-5][0-9])")
_TEXT: Final = re.compile(r""""([^"\\\n]*)"|'([^'\\\n]*)'""")
_MIDNIGHT: Final = 24 * 60


def functions(zone: tzinfo) -> tuple[Function, ...]:
    """Return the functions; ``zone`` is where ``time_between`` lives."""
    return (
        Function("ip_in", ("string", "list<string>"), ip_in),
        Function("time_between", ("timestamp", "string", "string"), functools.partial(time_between, zone)),
        Function("glob", ("string", "string"), glob),
    )


def ip_in(address: str, networks: list[str]) -> bool:
    """Tell whether an address lies in one of the networks (``10.0.0.0/8``, ``2001:db8::/32``, ``192.0.2.1``).

    An IPv4 address that a socket of IPv6 has written as its own is one of IPv4.
    """
    client = _address(address)
    return any(client in _network(network) for network in networks)


def time_between(zone: tzinfo, moment: datetime, start: str, end: str) -> bool:
    """Tell whether it is ``start`` or later and before ``end`` (``HH:MM``); past midnight where start is the later."""
    local = moment.astimezone(zone)
    now, first, last = local.hour * 60 + local.minute, _minutes(start), _minutes(end)
    return first <= now < last if first <= last else now >= first or now < last


def glob(text: str, pattern: str) -> bool:
    """Tell whether a whole text fits: ``*`` is anything but ``/``, ``**`` anything, ``?`` one character but ``/``."""
    return _pattern(pattern).fullmatch(text) is not None


@attrs.frozen
class Mistake:
    """A text in a condition that its function cannot read; ``offset`` is where it begins, in characters."""

    message: str
    offset: int
    length: int


def literals(text: str) -> Iterator[Mistake]:
    """Yield the networks and times written out in a condition that are none."""
    read: dict[str, Callable[[str], object]] = {"ip_in": _network, "time_between": _minutes}
    for call in calls_in(text, read):
        for start, end in call.arguments:
            for literal in _TEXT.finditer(text, start, end):
                try:
                    read[call.name](literal[1] if literal[1] is not None else literal[2])
                except ValueError as error:
                    yield Mistake(str(error), literal.start(), len(literal[0]))


@functools.lru_cache(maxsize=_KEPT)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text)


@functools.lru_cache(maxsize=_KEPT)
def _address(text: str) -> Address:
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


@functools.lru_cache(maxsize=_KEPT)
def _minutes(text: str) -> int:
    match = _TIME.fullmatch(text)
    minutes = int(match["hour"]) * 60 + int(match["minute"]) if match else _MIDNIGHT + 1
    if minutes > _MIDNIGHT:
        msg = f"expected a time from '00:00' to '24:00', got {text!r}"
        raise ValueError(msg)
    return minutes


@functools.lru_cache(maxsize=_KEPT)
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    meanings = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meanings.get(part) or re.escape(part) for part in parts), re.DOTALL)
