"""Compares what was seen straight with what was seen through the gateway; returns sentences, none when all is well.

Knows nothing of how either came about; what may differ is in ``differences.py``.
"""

import re
from collections.abc import Iterator

from tests.e2e.differential.differences import AGENT, CLIENT, HEADERS, Header, named_by_connection, rule_for
from tests.e2e.differential.messages import Ends, Exchange
from tests.e2e.differential.wire import Message, values

__all__ = ["compare_answers", "compare_requests"]


def compare_requests(exchange: Exchange, straight: Message, through: Message) -> Iterator[str]:
    """Tell what the agent saw otherwise through the gateway than it should have."""
    for part, name in enumerate(("method", "target")):
        yield from _same(name, straight.head.parts[part], through.head.parts[part])
    yield from _same("version", b"HTTP/1.1", through.head.parts[2])
    yield from _headers(AGENT, straight, through)
    yield from _same("trailers", (), through.trailers)
    if exchange.answer.early:  # the answer came first, and nobody is owed a body after it
        if not exchange.request.body.content.startswith(bytes(through.body)):
            yield f"{AGENT}: a body that was not sent"
        return
    yield from _same("body", straight.body, through.body)
    yield from _same("whole request", straight.whole, through.whole)


def compare_answers(exchange: Exchange, straight: Message, through: Message) -> Iterator[str]:
    """Tell what the client saw otherwise through the gateway than it should have."""
    yield from _same("status", straight.head.parts[1], through.head.parts[1])
    yield from _same("reason", straight.head.parts[2], through.head.parts[2])
    yield from _same("version", b"HTTP/1.1", through.head.parts[0])
    yield from _headers(CLIENT, straight, through)
    yield from _same("trailers", (), through.trailers)
    yield from _interim(exchange, through)
    yield from _same("clean end", straight.whole, through.whole)
    if exchange.request.version == b"HTTP/1.0" and exchange.answer.ends is Ends.BREAKS_OFF:
        if not straight.body.startswith(through.body):  # a reset may overtake what was sent before it
            yield f"{CLIENT}: a body that was not sent"
        return
    yield from _same("body", straight.body, through.body)


def _interim(exchange: Exchange, through: Message) -> Iterator[str]:
    """The gateway's own 100, once, where it was asked for; an early answer may make it needless."""
    allowed: list[tuple[int, ...]] = [(100,)] if exchange.request.expects_continue else [()]
    if exchange.answer.early:
        allowed.append(())
    if through.interim not in allowed:
        yield f"interim: {through.interim}, not one of {allowed}"


def _headers(side: str, straight: Message, through: Message) -> Iterator[str]:
    named = named_by_connection(straight)
    listed = [row for row in HEADERS if row.side == side]
    yield from _same(f"{side}: headers", _unlisted(side, straight, named), _unlisted(side, through, set()))
    for row in listed:
        found = "\n".join(_values(row, through))
        if not re.fullmatch(row.pattern(straight), found):
            yield f"{side}: {row.name} is {found!r}, not {row.pattern(straight)!r} ({row.why})"


def _unlisted(side: str, message: Message, named: set[bytes]) -> list[tuple[bytes, bytes]]:
    return [
        (name, value)
        for name, value in message.head.headers
        if rule_for(side, name) is None and name.lower() not in named
    ]


def _values(row: Header, message: Message) -> list[str]:
    names = {name.lower(): None for name, _ in message.head.headers if rule_for(row.side, name) is row}
    return [value.decode("latin-1") for name in names for value in values(message.head.headers, name)]


def _same(what: str, straight: object, through: object) -> Iterator[str]:
    if straight != through:
        yield f"{what}: straight {_short(straight)}, through the gateway {_short(through)}"


def _short(value: object) -> str:
    if isinstance(value, bytes | bytearray) and len(value) > 200:
        return f"{bytes(value[:40])!r}... ({len(value)} bytes)"
    return repr(value)
