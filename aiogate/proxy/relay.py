"""The relay: an agent's response to the client, each chunk written when it arrives, then observed.

Nothing here parses, logs or calls a plugin between an arriving chunk and its write.
"""

from collections.abc import Awaitable, Callable, Sequence

import aiohttp
from multidict import CIMultiDict

from aiogate.exchange import Exchange
from aiogate.hookspecs import Observer
from aiogate.proxy.answer import Answer, has_no_body

__all__ = ["Conclude", "relay"]

Conclude = Callable[[], Awaitable[None]]
"""Settles the exchange and appends its record; the last bytes of the answer leave after it."""


async def relay(
    response: aiohttp.ClientResponse,
    exchange: Exchange,
    answer: Answer,
    observers: Sequence[Observer],
    conclude: Conclude,
) -> None:
    """Pass the response on, whole when all of it is here already, chunk by chunk otherwise.

    Raises ``aiohttp.ClientError`` when the agent breaks off, ``ConnectionError`` when the client has gone.
    """
    content = response.content
    headers = exchange.response_headers
    length = _length(response, headers)
    if length == 0:
        await _without_body(response, exchange, answer, conclude)
    elif length is not None and content.is_eof() and content.exception() is None:
        await _at_once(response, exchange, answer, observers, conclude)
    else:
        _start(response, exchange, answer)
        await _chunk_by_chunk(content, exchange, answer, observers, conclude, length)


def _length(response: aiohttp.ClientResponse, headers: CIMultiDict[str]) -> int | None:
    """Return how many bytes the body has, None when only its end will tell."""
    if has_no_body(response.method, response.status):
        return 0
    length = headers.get("Content-Length")
    return int(length) if length is not None and length.isdecimal() else None


async def _without_body(
    response: aiohttp.ClientResponse,
    exchange: Exchange,
    answer: Answer,
    conclude: Conclude,
) -> None:
    exchange.answered = exchange.clock.monotonic()
    await conclude()
    _start(response, exchange, answer)


async def _at_once(
    response: aiohttp.ClientResponse,
    exchange: Exchange,
    answer: Answer,
    observers: Sequence[Observer],
    conclude: Conclude,
) -> None:
    body = response.content.read_nowait()
    for observe in observers:
        observe(body)
    exchange.bytes_out = len(body)
    exchange.answered = exchange.clock.monotonic()
    await conclude()
    await answer.whole(response.status, exchange.response_headers, body, reason=response.reason)


def _start(response: aiohttp.ClientResponse, exchange: Exchange, answer: Answer) -> None:
    answer.start(response.status, exchange.response_headers, reason=response.reason)
    if exchange.answered is None:
        exchange.answered = exchange.clock.monotonic()


async def _chunk_by_chunk(  # noqa: PLR0913, PLR0917 - one loop, all that it needs
    content: aiohttp.StreamReader,
    exchange: Exchange,
    answer: Answer,
    observers: Sequence[Observer],
    conclude: Conclude,
    length: int | None,
) -> None:
    last = b""
    while chunk := await content.readany():
        exchange.bytes_out += len(chunk)
        if exchange.bytes_out == length or (content.at_eof() and content.exception() is None):
            last = chunk
            for observe in observers:
                observe(chunk)
            break
        await answer.write(chunk)
        for observe in observers:
            observe(chunk)
    await conclude()
    await answer.finish(last)
