"""WebSockets: frame by frame between client and agent, both ways, with their close codes (RFC 6455).

Knows nothing of the pipeline; it begins when an exchange has been admitted.
"""

import asyncio
from typing import Final

import aiohttp
from aiohttp import WSMsgType
from aiohttp.web import BaseRequest, WebSocketResponse
from yarl import URL

from aiogate.errors import UpstreamError
from aiogate.exchange import Agent, Exchange
from aiogate.proxy.deadline import Deadline
from aiogate.proxy.upstream import upstream_error

__all__ = ["tunnel", "wants_websocket"]

_SWITCHING_PROTOCOLS: Final = 101
_NO_STATUS: Final = 1005
_ABNORMAL: Final = 1006
_GOING_AWAY: Final = 1001
_BAD_GATEWAY: Final = 1014

Socket = WebSocketResponse | aiohttp.ClientWebSocketResponse


def wants_websocket(request: BaseRequest) -> bool:
    """Tell whether the client asks for a WebSocket (RFC 6455 section 4.1)."""
    return "websocket" in request.headers.get("Upgrade", "").lower()


async def tunnel(
    request: BaseRequest,
    exchange: Exchange,
    agent: Agent,
    session: aiohttp.ClientSession,
    max_message_bytes: int,
) -> None:
    """Connect to the agent, then accept the client, then pass frames until one of them closes.

    Raises ``UpstreamError`` while the client can still be answered in HTTP.
    """
    async with await _connect(exchange, agent, session, max_message_bytes) as upstream:
        chosen = (upstream.protocol,) if upstream.protocol else ()
        client = WebSocketResponse(
            protocols=chosen, autoping=False, autoclose=False, compress=False, max_msg_size=max_message_bytes
        )
        client.headers.update(exchange.response_headers)
        await client.prepare(request)
        exchange.status = _SWITCHING_PROTOCOLS
        exchange.first_byte = exchange.answered = exchange.clock.monotonic()
        await _both_ways(client, upstream, exchange)


async def _connect(
    exchange: Exchange,
    agent: Agent,
    session: aiohttp.ClientSession,
    max_message_bytes: int,
) -> aiohttp.ClientWebSocketResponse:
    headers = exchange.request_headers
    offered = headers.popall("Sec-WebSocket-Protocol", [])
    for name in [name for name in headers if name.lower().startswith("sec-websocket-")]:
        headers.popall(name, None)
    protocols = [token.strip() for value in offered for token in value.split(",")]
    url = f"{agent.url}{exchange.path}?{exchange.query}" if exchange.query else agent.url + exchange.path
    try:
        with Deadline(agent.first_byte_seconds):
            return await session.ws_connect(
                URL(url, encoded=True),
                headers=headers,
                protocols=protocols,
                autoping=False,
                autoclose=False,
                compress=0,
                max_msg_size=max_message_bytes,
            )
    except aiohttp.WSServerHandshakeError as error:
        code = "agent_protocol_error"
        detail = f"agent {agent.id!r} answered the WebSocket request with status {error.status}"
        raise UpstreamError(code, detail) from error
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise upstream_error(agent, error) from error


async def _both_ways(
    client: WebSocketResponse,
    upstream: aiohttp.ClientWebSocketResponse,
    exchange: Exchange,
) -> None:
    """Pass frames both ways; the first direction that ends closes the other side with its code."""
    up = asyncio.ensure_future(_one_way(client, upstream, exchange, upwards=True))
    down = asyncio.ensure_future(_one_way(upstream, client, exchange, upwards=False))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for direction in (up, down):
            direction.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _one_way(source: Socket, sink: Socket, exchange: Exchange, *, upwards: bool) -> None:
    while True:
        message = await source.receive()
        kind = message.type
        if kind is WSMsgType.TEXT:
            _count(exchange, len(message.data.encode()), upwards=upwards)
            await sink.send_str(message.data)
        elif kind is WSMsgType.BINARY:
            _count(exchange, len(message.data), upwards=upwards)
            await sink.send_bytes(message.data)
        elif kind is WSMsgType.PING:
            await sink.ping(message.data)
        elif kind is WSMsgType.PONG:
            await sink.pong(message.data)
        else:
            await _close(source, sink, message, upwards=upwards)
            return


async def _close(source: Socket, sink: Socket, message: aiohttp.WSMessage, *, upwards: bool) -> None:
    """Close both sides: with the code that one of them gave, or with what its silence means."""
    if message.type is WSMsgType.CLOSE:
        code, reason = int(message.data or 1000), (message.extra or "").encode()
    else:
        code, reason = (_GOING_AWAY if upwards else _BAD_GATEWAY), b""
    if code in {_NO_STATUS, _ABNORMAL}:
        code = 1000
    await asyncio.gather(sink.close(code=code, message=reason), source.close(code=code), return_exceptions=True)


def _count(exchange: Exchange, size: int, *, upwards: bool) -> None:
    if upwards:
        exchange.bytes_in += size
    else:
        exchange.bytes_out += size
