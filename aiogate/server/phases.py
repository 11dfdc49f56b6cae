"""How long each stage of an exchange took, for the access log and, for operators who ask, for ``Server-Timing``.

``admit``: until it was sent to the agent, or refused; ``agent``: until the head of the agent's answer was there;
``answer``: what the gateway did before its first byte left; ``body``: the rest. A stage that was not come to has none.
"""

from collections.abc import Iterator

from aiogate.exchange import Exchange

__all__ = ["server_timing", "with_phases"]


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
    phases = ",".join(f'"{name}":{seconds:.6f}' for name, seconds in _phases(exchange))
    return b'%b,"phases":{%b}}\n' % (record[:-2], phases.encode())


def server_timing(exchange: Exchange, now: float) -> str:
    """Return the header line with the stages that are over, in milliseconds as W3C Server Timing has them.

    ``now``: monotonic seconds; a refusal has been thought about until then.
    """
    found = dict(_phases(exchange)) or {"admit": now - exchange.started}
    return "\r\nServer-Timing: " + ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in found.items())
