"""The floor: the cheapest reverse proxy that aiohttp's public API allows, ``python -m tests.bench.floor PORT URL``.

Does nothing else: no keys, no limits, no journal. What the gateway costs is told as a ratio to this.
"""

import asyncio
import gc
import sys

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

_SMALL_BYTES = 64 * 1024
_OWN_TO_A_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Host", "Content-Length")


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _OWN_TO_A_HOP:
        kept.popall(name, None)
    return kept


class Floor:
    """A handler for ``web.Server`` that forwards everything to one upstream."""

    def __init__(self, session: aiohttp.ClientSession, upstream: str) -> None:
        self._session = session
        self._upstream = upstream

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Forward one request and return what came back."""
        url = URL(self._upstream + request.raw_path, encoded=True)
        body = await request.read() if request.body_exists else None
        headers = _passed_on(request.headers)
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            headers = _passed_on(answer.headers)
            if answer.content_length is not None and answer.content_length <= _SMALL_BYTES:
                return web.Response(status=answer.status, headers=headers, body=await answer.read())
            response = web.StreamResponse(status=answer.status, headers=headers)
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
        protocol = web.Server(Floor(session, upstream), handler_cancellation=True)
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, backlog=4096)
        gc.collect()
        gc.freeze()
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2]))
