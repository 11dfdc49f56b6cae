"""WebSockets: bytes between client and agent, both ways, once the agent has switched protocols (RFC 6455).

Frames pass as they are; they are only stepped over to count messages, and to know a conversation that was closed from
one that broke. Knows nothing of the pipeline.
"""

import asyncio
from typing import Final

from multidict import CIMultiDict

from aiogate.errors import Refused, UpstreamError, refusal
from aiogate.exchange import Exchange
from aiogate.proxy.answer import Answer
from aiogate.proxy.frames import Frames
from aiogate.proxy.head import edited_fields, first_line, response_head
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.relay import Conclude
from aiogate.proxy.upstream import Response

__all__ = ["HANDSHAKE", "check_handshake", "switched", "tunnel", "wants_websocket"]

HANDSHAKE: Final = "\r\nConnection: Upgrade\r\nUpgrade: websocket"
_SWITCHING_PROTOCOLS: Final = 101
_VERSION: Final = "13"
_LAST_WORDS_SECONDS: Final = 2.0


def wants_websocket(inbound: Inbound) -> bool:
    """Tell whether the client asks for a WebSocket (RFC 6455 section 4.1)."""
    headers = inbound.headers
    return (
        inbound.method == "GET"
        and headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in headers.get("Connection", "").lower()
    )


def check_handshake(inbound: Inbound) -> None:
    """Raise ``Refused`` for half a handshake."""
    if "Sec-WebSocket-Key" not in inbound.headers or inbound.headers.get("Sec-WebSocket-Version") != _VERSION:
        raise Refused(refusal("bad_request", "the WebSocket handshake is not complete"))


def switched(headers: CIMultiDict[str], own: str) -> bytes:
    """Return the head of the 101 for the client; ValueError for control characters in a header."""
    return response_head(first_line(_SWITCHING_PROTOCOLS, None), edited_fields(headers), own + HANDSHAKE)


class _Upwards:
    """What the client sends, on its way to the agent; aiohttp's handler feeds it as it feeds a parser of frames."""

    def __init__(self, transport: asyncio.Transport, response: Response, exchange: Exchange) -> None:
        self._transport = transport
        self._flow = response.flow
        self._exchange = exchange
        self._frames = Frames()
        self._held = False

    @property
    def closing(self) -> bool:
        """Whether the client has said that it closes."""
        return self._frames.closing

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass bytes on; what the agent does not read stays with the client."""
        self._exchange.bytes_in += len(data)
        self._frames.feed(data)
        self._exchange.messages_in = self._frames.messages
        if not self._flow.write(data) and not self._held:
            self._held = True
            self._transport.pause_reading()
            self._flow.when_writable(self._resume)
        return False, b""

    def feed_eof(self) -> None:
        """Do nothing: a client that has gone cancels the handler."""

    def _resume(self) -> None:
        self._held = False
        if not self._transport.is_closing():
            self._transport.resume_reading()


async def tunnel(inbound: Inbound, response: Response, exchange: Exchange, answer: Answer, conclude: Conclude) -> None:
    """Pass bytes both ways until the agent closes; the head of the 101 has been written.

    The frame with which the agent closes leaves after the record. Raises ``UpstreamError`` when the agent's connection
    ends although neither side has closed the conversation, ``ConnectionError`` when the client has gone.
    """
    transport = inbound.transport
    if transport is None:
        raise ConnectionResetError
    exchange.messages_in = exchange.messages_out = 0
    upwards = _Upwards(transport, response, exchange)
    inbound.protocol.set_parser(upwards)  # type: ignore[arg-type] # it takes what a parser of frames takes
    last = await _downwards(response, exchange, answer)
    if not last and not upwards.closing:
        code = "agent_protocol_error"
        raise UpstreamError(code, "the agent broke off a WebSocket")
    await conclude()
    if last:
        answer.write(last)
        await answer.drain()
        await _farewell(response, answer)


async def _downwards(response: Response, exchange: Exchange, answer: Answer) -> bytes:
    """Pass on what the agent sends; return the bytes with which it closes, ``b""`` when it ends without."""
    frames = answer.frames = Frames()
    last = bytearray()

    def pass_on(chunk: bytes) -> None:
        frames.feed(chunk)
        exchange.bytes_out += len(chunk)
        exchange.messages_out = frames.messages
        if frames.closing:
            last.extend(chunk)
            response.hold()
        elif answer.writable:
            answer.write(chunk)
            if answer.slow:
                response.hold()
        else:
            response.hold()

    while not response.complete and not last:
        await response.pour(pass_on)
        await answer.drain()
    if rest := response.take():
        pass_on(rest)
    return bytes(last)


async def _farewell(response: Response, answer: Answer) -> None:
    """Give the client a moment for its own closing frame; the agent closes the connection when it has it."""

    def pass_on(chunk: bytes) -> None:
        if answer.writable:
            answer.write(chunk)

    try:
        async with asyncio.timeout(_LAST_WORDS_SECONDS):
            while not response.complete:
                await response.pour(pass_on)
    except (TimeoutError, UpstreamError, ConnectionError):
        return
