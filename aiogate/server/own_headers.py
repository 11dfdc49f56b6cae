"""The header lines that aiogate puts into every answer, with CRLF between them.

For the walk.
"""

from typing import Final

from multidict import CIMultiDict

from aiogate.exchange import Exchange
from aiogate.server.choose import OPERATOR
from aiogate.server.phases import server_timing
from aiogate.server.quotas import quota_lines

__all__ = ["make_way", "own_headers"]

_VARY: Final = "Vary"
"""Says more, and nothing different, where it stands twice (RFC 9110 section 5.3)."""
_OF_BROWSERS: Final = frozenset({_VARY, "Access-Control-Allow-Origin"})


def own_headers(exchange: Exchange, agent_id: str | None = None) -> str:
    """Return the lines for an answer of our own, or for one of an agent's.

    ``X-Aiogate-Degraded: state`` tells operators that this gateway alone has decided what the exchange may take; to
    others it would tell when a limit is not what it says. ``Server-Timing`` is for operators who ask for it
    (``X-Aiogate-Timing: 1``): others it would tell which of two names has a key.
    """
    agent = "" if agent_id is None else f"\r\nX-Agent-Id: {agent_id}"
    attempts = f"\r\nX-Aiogate-Attempts: {len(exchange.attempts)}" if exchange.attempts else ""
    degraded = "\r\nX-Aiogate-Degraded: state" if exchange.degraded and _for_an_operator(exchange) else ""
    quotas = quota_lines(exchange.quotas)
    if exchange.is_timed and _for_an_operator(exchange):
        degraded += server_timing(exchange, exchange.clock.monotonic())
    return f"X-Request-Id: {exchange.id}{agent}{quotas}{attempts}{degraded}{exchange.cors}"


def _for_an_operator(exchange: Exchange) -> bool:
    return exchange.principal is not None and OPERATOR in exchange.principal.roles


def make_way(headers: CIMultiDict[str], own: str) -> None:
    """Take out what aiogate says itself; where it says which web pages may look, nobody else has a say in that."""
    names = [line.partition(":")[0] for line in own.split("\r\n")]
    for name in names:
        if name != _VARY:
            headers.popall(name, None)
    if not _OF_BROWSERS.isdisjoint(names):
        for name in {name for name in headers if name.lower().startswith("access-control-")}:
            del headers[name]
