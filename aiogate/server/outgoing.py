"""What goes to the agent behind the head: the client's body or what a plugin has made of it, and its framing.

For the walk. Here a stream is asked for its usage in the client's name, where the agent's config says so.
"""

from collections.abc import AsyncIterator
from typing import Final

from multidict import istr

from aiogate.agent import Agent
from aiogate.exchange import Exchange
from aiogate.proxy.answer import Answer
from aiogate.proxy.body import ClientBody
from aiogate.usage.inject import UsageEventFilter, asking

__all__ = ["ACCEPT_ENCODING", "CHUNKED", "Body", "at_once", "injected", "request_body"]

Body = bytes | AsyncIterator[bytes] | None
CHUNKED: Final = "\r\nTransfer-Encoding: chunked"
_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})
_WHOLE_BYTES: Final = 65536
"""A request body up to this length is read before the agent is bothered, and goes to it in one piece."""
_INJECTED_BYTES: Final = 1024 * 1024
"""So long it may be where the stream is asked for its usage; in a longer one nothing is put."""
ACCEPT_ENCODING: Final = istr("Accept-Encoding")


def at_once(exchange: Exchange, body: ClientBody) -> tuple[bytes | None, str] | None:
    """Return what ``request_body`` would, where nothing has to be waited for: all of it is here, or there is none."""
    whole, length = exchange.body, exchange.content_length
    if whole is None:
        if length == 0:
            return None, "\r\nContent-Length: 0" if exchange.method in _WITH_LENGTH else ""
        if length is None or length > _WHOLE_BYTES:
            return None
        whole = body.at_once(length)
        if whole is None:
            return None
    return whole, f"\r\nContent-Length: {len(whole)}"


async def request_body(exchange: Exchange, body: ClientBody, agent: Agent) -> tuple[Body, str]:
    """Return what goes to the agent and the header that frames it (RFC 9112 section 6).

    Bytes where there are few of them or a plugin has them, a stream otherwise.
    """
    ready = at_once(exchange, body)
    if ready is not None:
        return ready
    length = exchange.content_length
    if length is None:
        return body.stream(), CHUNKED
    if length > (_INJECTED_BYTES if agent.inject_usage else _WHOLE_BYTES):
        return body.stream(), f"\r\nContent-Length: {length}"
    whole = await body.read(length)
    return whole, f"\r\nContent-Length: {len(whole)}"


def injected(exchange: Exchange, answer: Answer, body: bytes, framing: str) -> tuple[bytes, str]:
    """Return the body as it asks for the usage of the stream, if it asks for one.

    The client will not see the event that brings it. It has to be found, so the agent is not to compress.
    """
    asked = asking(body)
    if asked is None:
        return body, framing
    answer.sift = UsageEventFilter()
    exchange.request_headers[ACCEPT_ENCODING] = "identity"
    return asked, f"\r\nContent-Length: {len(asked)}"
