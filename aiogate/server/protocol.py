"""The public listener's protocol: aiohttp's handler with our own words for what it cannot parse.

aiohttp logs and quotes the line that it could not parse, which may hold a credential; ours does neither.
"""

import logging
from typing import Any, Final

from aiohttp import http_exceptions, web, web_protocol
from aiohttp.web import BaseRequest, RequestPayloadError, StreamResponse

from aiogate.errors import problem_body, problem_headers, refusal

__all__ = ["PublicServer"]

_log: Final = logging.getLogger(__name__)
_TOO_LARGE: Final = (http_exceptions.LineTooLong,)


class _Protocol(web_protocol.RequestHandler):
    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Read on; a body that breaks its framing fails for the exchange that reads it, which would wait for ever."""
        super().data_received(data)
        current = self._current_request
        if self._messages and current is not None and isinstance(self._messages[-1][0], web_protocol._ErrInfo):  # noqa: SLF001 - aiohttp 3.14 says it nowhere else
            current.content.set_exception(RequestPayloadError("the body's framing is broken"))

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Return the problem for a request that is no HTTP, or for a fault of ours; ``message`` goes nowhere."""
        del message
        if status >= 500:  # noqa: PLR2004 - a fault of ours
            _log.error("a request failed in the listener", exc_info=exc)
            problem = refusal("internal_error", "the gateway failed")
        elif isinstance(exc, _TOO_LARGE):
            problem = refusal("headers_too_large", "the request line or a header is too long")
        else:
            problem = refusal("bad_request", "the request is not valid HTTP")
        if request.transport is None:
            msg = "the client has closed its connection"
            raise ConnectionResetError(msg)
        response = web.Response(status=problem.status, body=problem_body(problem, "", ""))
        response.headers.update(problem_headers(problem))
        response.force_close()
        return response


class PublicServer(web.Server):
    """``web.Server`` whose connections speak our protocol."""

    def __call__(self) -> web_protocol.RequestHandler:
        """Return the protocol for a new connection."""
        kwargs: dict[str, Any] = self._kwargs
        return _Protocol(self, loop=self._loop, **kwargs)
