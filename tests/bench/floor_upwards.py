"""The floor for large uploads: ``python -m tests.bench.floor_upwards PORT URL``.

``floor.py`` reads request bodies whole, which is cheapest while they are small and no way to carry a gigabyte. This one
hands them on as they come and is otherwise the same.
"""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web
from yarl import URL

from tests.bench.floor import _passed_on


class UpwardsFloor:
    """A handler for ``web.Server`` that forwards everything to one upstream, bodies unread."""

    def __init__(self, session: aiohttp.ClientSession, upstream: str) -> None:
        self._session = session
        self._upstream = upstream

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Forward one request and return what came back."""
        url = URL(self._upstream + request.raw_path, encoded=True)
        headers = _passed_on(request.headers)
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        body = request.content.iter_any() if request.body_exists else None
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
            response.content_length = answer.content_length
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response


async def _serve(port: int, upstream: str) -> None:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        auto_decompress=False,
    ) as session:
        protocol = web.Server(UpwardsFloor(session, upstream), handler_cancellation=True)
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2]))
