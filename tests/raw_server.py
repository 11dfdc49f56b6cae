"""A server of raw connections for tests; at its end everybody whom it has served has gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

__all__ = ["raw_server"]


@asynccontextmanager
async def raw_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], *, limit: int = 2**16
) -> AsyncIterator[str]:
    """Run ``serve`` for each connection on a free port of loopback; yield its URL."""
    under_way: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await serve(reader, writer)
        finally:
            under_way.discard(task)

    server = await asyncio.start_server(tracked, "127.0.0.1", 0, limit=limit, backlog=1024)
    try:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        await asyncio.gather(*under_way)
