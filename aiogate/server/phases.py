"""How long each stage of an exchange took, for the access log and, for operators who ask, for ``Server-Timing``.

``admit``: until it was sent to the agent, or refused; ``agent``: until the head of the agent's answer was there;
``answer``: what the gateway did before its first byte left; ``body``: the rest. A stage that was not come to has none.
"""

from collections.abc import Iterator
from typing import Final

from aiogate.exchange import Exchange

__all__ = ["server_timing", "with_phases"]

_ALL: Final = b'%b,"phases":{"admit":%.6f,"agent":%.6f,"answer":%.6f,"body":%.6f}}\n'
"""The line of nearly every exchange, many times faster than piece by piece."""


def _phases(exchange: Exchange) -> Iterator[tuple[str, float]]:
    """Yield the stages that are over, each with its seconds."""
    before = exchange.started
    stages = ("admit", exchange.forwarded), ("agent", exchange.first_byte), ("answer", exchange.answered)
    for name, at in stages:
        if at is not None:
            yield name, at - before
            before = at
    if exchange.ended is not None:
        yield ("admit" if before == exchange.started else "body"), exchange.ended - before


def with_phases(record: bytes, exchange: Exchange) -> bytes:
    """Return the record of an exchange that has ended, one line of JSON, with ``phases`` in seconds at its end."""
    forwarded, first_byte, answered, ended = exchange.forwarded, exchange.first_byte, exchange.answered, exchange.ended
    if forwarded is not None and first_byte is not None and answered is not None and ended is not None:
        admit, agent = forwarded - exchange.started, first_byte - forwarded
        return _ALL % (record[:-2], admit, agent, answered - first_byte, ended - answered)
    phases = ",".join(f'"{name}":{seconds:.6f}' for name, seconds in _phases(exchange))
    return b'%b,"phases":{%b}}\n' % (record[:-2], phases.encode())


def server_timing(exchange: Exchange, now: float) -> str:
    """Return the header line with the stages that are over, in milliseconds as W3C Server Timing has them.

    ``now``: monotonic seconds; a refusal has been thought about until then.
    """
    found = dict(_phases(exchange)) or {"admit": now - exchange.started}
    return "\r\nServer-Timing: " + ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in found.items())
