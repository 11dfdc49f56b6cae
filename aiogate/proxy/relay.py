"""The relay: an agent's response to the client, each chunk written when it arrives, then observed.

Nothing here parses, logs or calls a plugin between an arriving chunk and its write.
"""

from collections.abc import Awaitable, Callable, Sequence

from aiogate.exchange import Exchange
from aiogate.hookspecs import Observer
from aiogate.proxy.answer import Answer, has_no_body
from aiogate.proxy.upstream import Response

__all__ = ["Conclude", "relay"]

Conclude = Callable[[], Awaitable[None]]
"""Settles the exchange and appends its record; the last bytes of the answer leave after it."""


async def relay(
    response: Response,
    exchange: Exchange,
    answer: Answer,
    observers: Sequence[Observer],
    conclude: Conclude,
) -> None:
    """Pass the response on, whole when all of it is here already, chunk by chunk otherwise.

    Raises ``UpstreamError`` when the agent breaks off, ``ConnectionError`` when the client has gone.
    """
    length = _length(response, exchange)
    if length is not None and response.complete:
        await _at_once(response, exchange, answer, observers, conclude)
        return
    answer.start(response.status, exchange.response_headers, reason=response.reason)
    exchange.answered = exchange.clock.monotonic()
    await _pour(response, exchange, answer, observers)
    last = response.take()
    if last:
        exchange.bytes_out += len(last)
        for observe in observers:
            observe(last)
    await conclude()
    await answer.finish(last)


async def _pour(response: Response, exchange: Exchange, answer: Answer, observers: Sequence[Observer]) -> None:
    """Pass on everything but what comes with the end; no task wakes up for a chunk while the client keeps up."""

    def pass_on(chunk: bytes) -> None:
        if not answer.writable:
            response.hold()
            return
        answer.write(chunk)
        exchange.bytes_out += len(chunk)
        for observe in observers:
            observe(chunk)
        if answer.slow:
            response.hold()

    while not response.complete:
        await response.pour(pass_on)
        await answer.drain()


def _length(response: Response, exchange: Exchange) -> int | None:
    """Return how many bytes the body has, None when only its end will tell."""
    if has_no_body(exchange.method, response.status):
        return 0
    length = exchange.response_headers.get("Content-Length")
    return int(length) if length is not None and length.isdecimal() else None


async def _at_once(
    response: Response,
    exchange: Exchange,
    answer: Answer,
    observers: Sequence[Observer],
    conclude: Conclude,
) -> None:
    """Write head and body together; the length stays as the agent gave it, also where there is no body."""
    body = response.take()
    if body:
        for observe in observers:
            observe(body)
    exchange.bytes_out = len(body)
    exchange.answered = exchange.clock.monotonic()
    await conclude()
    await answer.relayed(response.status, exchange.response_headers, body, reason=response.reason)
