"""WebSockets: frame by frame between client and agent, both ways, with their close codes (RFC 6455).

Knows nothing of the pipeline; it begins when an exchange has been admitted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import attrs
from aiohttp import WSMsgType
from aiohttp.web import BaseRequest, WebSocketResponse
from yarl import URL

from aiogate.errors import Refused, UpstreamError, refusal
from aiogate.exchange import Agent, Exchange, Outcome
from aiogate.proxy.deadline import Deadline

__all__ = ["Sockets", "tunnel", "wants_websocket"]

_SWITCHING_PROTOCOLS: Final = 101
_NORMAL: Final = 1000
_NO_STATUS: Final = 1005
_ABNORMAL: Final = 1006
_GOING_AWAY: Final = 1001
_BAD_GATEWAY: Final = 1014

Conclude = Callable[[Outcome], Awaitable[None]]
"""Settles the exchange and appends its record; the closing frame leaves after it."""
Socket = WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _follow_nobody(*_: object) -> None:
    """Refuse a redirect: the agent's credentials are for the agent alone, and ``ws_connect`` would follow."""
    msg = "the agent answered the WebSocket request with a redirect"
    raise aiohttp.ClientError(msg)


@attrs.define
class Sockets:
    """The WebSocket client towards all agents, made when the first socket is asked for."""

    _session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session; needs a running loop."""
        if self._session is None:
            watch = aiohttp.TraceConfig()
            watch.on_request_redirect.append(_follow_nobody)
            self._session = aiohttp.ClientSession(
                trace_configs=[watch],
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session

    async def close(self) -> None:
        """Close all sockets."""
        if self._session is not None:
            await self._session.close()


def wants_websocket(request: BaseRequest) -> bool:
    """Tell whether the client asks for a WebSocket (RFC 6455 section 4.1)."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in headers.get("Connection", "").lower()
    )


async def tunnel(  # noqa: PLR0913, PLR0917 - the two ends and what they share
    request: BaseRequest,
    exchange: Exchange,
    agent: Agent,
    sockets: Sockets,
    max_message_bytes: int,
    conclude: Conclude,
) -> None:
    """Connect to the agent, then accept the client, then pass frames until one of them closes.

    Raises ``UpstreamError`` or ``Refused`` while the client can still be answered in HTTP.
    """
    if not WebSocketResponse(protocols=_offered(exchange)).can_prepare(request).ok:
        raise Refused(refusal("bad_request", "the WebSocket handshake is not complete"))
    async with await _connect(exchange, agent, sockets.session, max_message_bytes) as upstream:
        chosen = (upstream.protocol,) if upstream.protocol else ()
        client = WebSocketResponse(
            protocols=chosen, autoping=False, autoclose=False, compress=False, max_msg_size=max_message_bytes
        )
        client.headers.update(exchange.response_headers)
        await client.prepare(request)
        exchange.status = _SWITCHING_PROTOCOLS
        exchange.first_byte = exchange.answered = exchange.clock.monotonic()
        await _both_ways(client, upstream, exchange, conclude)


async def _connect(
    exchange: Exchange,
    agent: Agent,
    session: aiohttp.ClientSession,
    max_message_bytes: int,
) -> aiohttp.ClientWebSocketResponse:
    headers = exchange.request_headers
    protocols = _offered(exchange)
    for name in [name for name in headers if name.lower().startswith("sec-websocket-")]:
        headers.popall(name, None)
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
        raise _upstream_error(agent, error) from error


def _offered(exchange: Exchange) -> list[str]:
    values = exchange.request_headers.getall("Sec-WebSocket-Protocol", [])
    return [token.strip() for value in values for token in value.split(",")]


def _upstream_error(agent: Agent, error: BaseException) -> UpstreamError:
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
        return UpstreamError(
            "agent_timeout", f"agent {agent.id!r} did not answer within {agent.first_byte_seconds:g} s"
        )
    if isinstance(error, OSError):
        return UpstreamError("agent_unreachable", f"agent {agent.id!r} cannot be reached")
    return UpstreamError("agent_protocol_error", f"agent {agent.id!r} did not answer in HTTP")


async def _both_ways(
    client: WebSocketResponse,
    upstream: aiohttp.ClientWebSocketResponse,
    exchange: Exchange,
    conclude: Conclude,
) -> None:
    """Pass frames both ways until one side closes; the other is closed with its code, after the record."""
    up = asyncio.ensure_future(_pass(client, upstream, exchange, upwards=True))
    down = asyncio.ensure_future(_pass(upstream, client, exchange, upwards=False))
    try:
        done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
        down.cancel()
    await asyncio.gather(up, down, return_exceptions=True)
    first = up if up in done else down
    message = None if first.exception() is not None else first.result()
    upwards = first is up
    if message is not None and message.type is WSMsgType.CLOSE:
        await conclude(Outcome.COMPLETED)
        code, reason = int(message.data or _NORMAL), (message.extra or "").encode()
        code = _NORMAL if code in {_NO_STATUS, _ABNORMAL} else code
    else:
        await conclude(Outcome.CLIENT_GONE if upwards else Outcome.UPSTREAM_FAILED)
        code, reason = (_GOING_AWAY if upwards else _BAD_GATEWAY), b""
    closings = (client.close(code=code, message=reason), upstream.close(code=code, message=reason))
    await asyncio.gather(*closings, return_exceptions=True)


async def _pass(source: Socket, sink: Socket, exchange: Exchange, *, upwards: bool) -> aiohttp.WSMessage:
    """Pass frames on until one that ends the conversation comes; return that one."""
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
            return message


def _count(exchange: Exchange, size: int, *, upwards: bool) -> None:
    if upwards:
        exchange.bytes_in += size
    else:
        exchange.bytes_out += size
