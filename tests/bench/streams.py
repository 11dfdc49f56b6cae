"""Many open event streams, and when each event arrived.

For the measures. Knows nothing of gateways; reads the stamps that the agent puts into its events.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from tests.bench.framing import BenchError

__all__ = ["Stream", "Streams", "open_streams"]

_OK = b"HTTP/1.1 200"
_STAMP = re.compile(rb'"t":"(\d{19})"')
_LONGEST_STAMP_BYTES = 25
_OPENING_AT_ONCE = 64
_FIRST_EVENT_SECONDS = 10.0


class Stream(asyncio.Protocol):
    """One stream: is open once its first event is there; then notes for each event when it left and when it came."""

    def __init__(self, request: bytes) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent_ns: list[int] = []
        self.came_ns: list[int] = []
        self.lost = False
        self._request = request
        self._rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.perf_counter_ns()
        if self._rest:
            data = self._rest + data
        end = 0
        for stamp in _STAMP.finditer(data):
            end = stamp.end()
            self.sent_ns.append(int(stamp[1]))
            self.came_ns.append(now_ns)
        if self.opened.done():
            self._rest = b"" if data.endswith(b"\n") else data[max(end, len(data) - _LONGEST_STAMP_BYTES) :]
        else:
            self._open(data)

    def _open(self, data: bytes) -> None:
        self._rest = b"" if self.sent_ns else data
        if not data.startswith(_OK[: len(data)]):
            self.opened.set_exception(BenchError(f"a stream was not opened: {data[:600].decode(errors='replace')}"))
        elif self.sent_ns:
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(BenchError(f"a stream was closed before its first event: {exc}"))


@attrs.define(eq=False)
class Streams:
    """All streams of one measure."""

    port: int
    request: bytes
    open: list[Stream] = attrs.field(factory=list)
    _begun: int = 0

    async def grow_to(self, count: int) -> None:
        """Open more streams, a few at a time; raises BenchError with the first one's reason when one does not open."""
        self._begun = len(self.open)
        openers = [asyncio.create_task(self._open_up_to(count)) for _ in range(_OPENING_AT_ONCE)]
        try:
            await asyncio.gather(*openers)
        finally:
            for opener in openers:
                opener.cancel()

    async def _open_up_to(self, count: int) -> None:
        while self._begun < count:
            self._begun += 1
            self.open.append(await self._opened())

    async def _opened(self) -> Stream:
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: Stream(self.request), "127.0.0.1", self.port)
        try:
            await asyncio.wait_for(stream.opened, _FIRST_EVENT_SECONDS)
        except BaseException as error:
            stream.transport.abort()
            if isinstance(error, TimeoutError):
                msg = f"a stream had no first event within {_FIRST_EVENT_SECONDS:g} s"
                raise BenchError(msg) from error
            raise
        return stream

    def forget(self) -> None:
        """Drop what the streams have noted so far."""
        for stream in self.open:
            stream.sent_ns.clear()
            stream.came_ns.clear()

    async def close(self) -> None:
        """Close all streams; return when their sockets are closed, so that no gateway is ended with streams open."""
        for stream in self.open:
            stream.transport.abort()
        while not all(stream.lost for stream in self.open):
            await asyncio.sleep(0)


@asynccontextmanager
async def open_streams(port: int, request: bytes) -> AsyncIterator[Streams]:
    """Hold streams open while the block lasts; none at first."""
    streams = Streams(port, request)
    try:
        yield streams
    finally:
        await streams.close()
