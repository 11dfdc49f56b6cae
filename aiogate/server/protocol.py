"""The public listener's protocol: aiohttp's handler, with our own words for what it cannot parse.

aiohttp logs and quotes the line that it could not parse, which may hold a credential; ours does neither. ``Public``
knows aiohttp by its public names, ``Quick`` by private ones of the versions that ``TESTED`` names: it serves all
requests of a connection in one task, and takes a small body without a copy. Another version of aiohttp is served by
``Public``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
from aiohttp import HttpVersion10, HttpVersion11, http_exceptions, web, web_protocol
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EmptyStreamReader, StreamReader
from aiohttp.web import BaseRequest, RequestPayloadError, StreamResponse

from aiogate.errors import Refusal, problem_body, problem_headers, refusal
from aiogate.proxy.answer import Answer
from aiogate.proxy.head import now
from aiogate.proxy.inbound import Inbound

__all__ = ["TESTED", "Handle", "PublicServer"]

TESTED: Final = "3.14."
"""The start of the versions of aiohttp whose private names ``Quick`` knows."""

Handle = Callable[[Inbound], Awaitable[Answer]]
"""Serves one request."""

_log: Final = logging.getLogger(__name__)
_SPOKEN: Final = (HttpVersion11, HttpVersion10)
_UNSPOKEN: Final = refusal("bad_request", "the request is not HTTP/1.1 or HTTP/1.0")
_BAD: Final = http_exceptions.BadHttpMessage
_TOO_MANY: Final = "Too many headers received"
_LEAST_PAYLOAD: Final = 65536


class _Public(web_protocol.RequestHandler):
    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Read on; a body that breaks its framing fails for the exchange that reads it, which would wait for ever."""
        super().data_received(data)
        messages = self._messages
        if messages and self._current_request is not None and isinstance(messages[-1][0], web_protocol._ErrInfo):  # noqa: SLF001 - aiohttp 3.14 says it nowhere else
            self._current_request.content.set_exception(RequestPayloadError("the body's framing is broken"))

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Return the problem for a request that is no HTTP, or for a fault of ours; ``message`` goes nowhere."""
        del message
        problem = _problem(status, exc)
        if request.transport is None:
            msg = "the client has closed its connection"
            raise ConnectionResetError(msg)
        return _whole(problem)


class _Quick(_Public):
    __slots__ = ()

    async def start(self) -> None:  # noqa: C901 - the life of a connection
        """Serve the requests of the connection, one after the other."""
        handle: Handle = self._manager.handle  # type: ignore[union-attr] # it is a PublicServer
        task = asyncio.current_task()
        writer = StreamWriter(self, self._loop)
        try:
            while not self._force_close:
                if not self._messages:
                    waiter = self._waiter = self._loop.create_future()
                    await waiter
                    self._waiter = None
                message, payload = self._messages.popleft()
                if self._parser is not None:
                    self._parser.message_consumed()
                if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                    self._resume_reading_if_drained()
                if isinstance(message, web_protocol._ErrInfo):  # noqa: SLF001 - as above
                    self._refuse(_problem(message.status, message.exc))
                    break
                if message.version not in _SPOKEN:
                    self._refuse(_UNSPOKEN)
                    break
                inbound = Inbound(
                    message.method,
                    message.path,
                    message.headers,
                    message.version is not HttpVersion11,
                    not (message.should_close or self._upgraded),
                    type(payload) is not EmptyStreamReader,
                    payload,
                    self.transport,
                    self,
                    writer,
                    task,  # type: ignore[arg-type] # it runs in one
                    _take_whole,
                )
                if not await self._serve(handle, inbound):
                    break
        except asyncio.CancelledError:
            self.force_close()
            raise
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _serve(self, handle: Handle, inbound: Inbound) -> bool:
        """Serve a request; tell whether the connection stays open for another one."""
        self._request_in_progress = True
        self._current_request = inbound  # type: ignore[assignment] # it can be cancelled likewise
        try:
            answer = await handle(inbound)
        except ConnectionError:
            return False
        except Exception as error:  # noqa: BLE001 - the border of the listener: a fault of ours closes one connection
            self._refuse(_problem(500, error))
            return False
        finally:
            self._current_request = None
            self._request_in_progress = False
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)
        if not inbound.content.is_eof():
            await self._linger(inbound.content)
        self._keepalive = answer.keep_alive
        if not answer.keep_alive or self._close or self._force_close:
            return False
        self._next_keepalive_close_time = close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)
        return True

    async def _linger(self, content: StreamReader) -> None:
        """Read what the client goes on sending, so that it sees its answer and not a reset (RFC 9112 section 9.6)."""
        try:
            async with asyncio.timeout(self._lingering_time):
                while not content.is_eof():
                    await content.readany()
        except TimeoutError:
            self.close()
        except (RequestPayloadError, ConnectionError):
            self.close()

    def _refuse(self, problem: Refusal) -> None:
        """Answer what is no request, or what a fault of ours has left without an answer."""
        transport = self.transport
        if transport is None:
            return
        body = problem_body(problem, "", "")
        lines = [f"HTTP/1.1 {problem.status} {problem.title}"]
        lines += [f"{name}: {value}" for name, value in problem_headers(problem)]
        lines += [f"Content-Length: {len(body)}", f"Date: {now()}", "Connection: close", "", ""]
        transport.write("\r\n".join(lines).encode() + body)


class PublicServer(web.Server):
    """``web.Server`` whose connections speak our protocol.

    Args:
        handle: serves one request.
        quick: by aiohttp's private names; None: where this version of aiohttp was tested with.
        settings: as ``web.Server`` takes them.
    """

    def __init__(self, handle: Handle, *, quick: bool | None = None, **settings: Any) -> None:  # noqa: ANN401 - aiohttp's
        async def public(request: BaseRequest) -> Answer | StreamResponse:
            if request.version not in _SPOKEN:
                return _whole(_UNSPOKEN)
            return await handle(Inbound.of(request))

        super().__init__(public, **settings)  # type: ignore[arg-type] # an Answer does what is asked of a response
        self.handle = handle
        if quick is None:
            quick = aiohttp.__version__.startswith(TESTED)
        self._protocol = _Quick if quick else _Public

    def __call__(self) -> web_protocol.RequestHandler:
        """Return the protocol for a new connection."""
        kwargs: dict[str, Any] = self._kwargs
        return self._protocol(self, loop=self._loop, **kwargs)


def _whole(problem: Refusal) -> StreamResponse:
    """Return a problem as aiohttp's own response, after which the connection is closed."""
    response = web.Response(status=problem.status, body=problem_body(problem, "", ""))
    response.headers.update(problem_headers(problem))
    response.force_close()
    return response


def _problem(status: int, error: BaseException | None) -> Refusal:
    """Return what a client is told of a request that is no HTTP, or of a fault of ours, which is logged."""
    if status >= 500:  # noqa: PLR2004 - a fault of ours
        _log.error("a request failed in the listener", exc_info=error)
        return refusal("internal_error", "the gateway failed")
    if isinstance(error, http_exceptions.LineTooLong) or (isinstance(error, _BAD) and error.message == _TOO_MANY):
        return refusal("headers_too_large", "the request line or a header is too long, or there are too many headers")
    return refusal("bad_request", "the request is not valid HTTP")


def _take_whole(content: StreamReader) -> bytes | None:
    """Return a body that lies in one piece in aiohttp's buffer, without the bookkeeping for those that do not."""
    if content._eof and content._exception is None and not content._buffer_offset:  # noqa: SLF001 - see TESTED
        buffer = content._buffer  # noqa: SLF001 - likewise
        if len(buffer) == 1 and len(buffer[0]) <= _LEAST_PAYLOAD:
            return buffer[0]
    return None
