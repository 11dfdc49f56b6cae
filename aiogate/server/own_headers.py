"""The header lines that aiogate puts into every answer, with CRLF between them.

For the walk.
"""

from multidict import CIMultiDict

from aiogate.exchange import Exchange
from aiogate.server.choose import OPERATOR
from aiogate.server.quotas import quota_lines

__all__ = ["make_way", "own_headers"]


def own_headers(exchange: Exchange, agent_id: str | None = None) -> str:
    """Return the lines for an answer of our own, or for one of an agent's.

    ``X-Aiogate-Degraded: state`` tells operators that this gateway alone has decided what the exchange may take; to
    others it would tell when a limit is not what it says.
    """
    agent = "" if agent_id is None else f"\r\nX-Agent-Id: {agent_id}"
    attempts = f"\r\nX-Aiogate-Attempts: {len(exchange.attempts)}" if exchange.attempts else ""
    degraded = "\r\nX-Aiogate-Degraded: state" if exchange.degraded and _for_an_operator(exchange) else ""
    return f"X-Request-Id: {exchange.id}{agent}{quota_lines(exchange.quotas)}{attempts}{degraded}"


def _for_an_operator(exchange: Exchange) -> bool:
    return exchange.principal is not None and OPERATOR in exchange.principal.roles


def make_way(headers: CIMultiDict[str], own: str) -> None:
    """Take out what aiogate says itself."""
    for line in own.split("\r\n"):
        headers.popall(line.partition(":")[0], None)
