"""Many open event streams, and when each event arrived, for the load generator in Python.

Knows nothing of gateways; reads the stamps that the agent puts into its events.
"""

import asyncio
import re
import time
from collections.abc import Callable

__all__ = ["Streams"]

_OK = b"HTTP/1.1 200"
_STAMP = re.compile(rb'"t":"(\d{19})')
_LONGEST_STAMP_BYTES = 24
_OPENING_AT_ONCE = 64
_FIRST_EVENT_SECONDS = 10.0


class Stream(asyncio.Protocol):
    """One stream: is open once its first event is there; then notes how long each event was under way."""

    def __init__(self, request: bytes, failed: Callable[[str], None]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.delays_ns: list[int] = []
        self._request = request
        self._failed = failed
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._request)  # type: ignore[attr-defined] # a stream's transport is one that writes

    def data_received(self, data: bytes) -> None:
        now_ns = time.perf_counter_ns()
        data = self._rest + data
        if not self.opened.done() and not data.startswith(_OK[: len(data)]):
            self._failed(f"a stream was not opened: {data[:600].decode(errors='replace')}")
            return
        end = 0
        for stamp in _STAMP.finditer(data):
            end = stamp.end()
            self.delays_ns.append(now_ns - int(stamp[1]))
        if self.opened.done():
            self._rest = data[max(end, len(data) - _LONGEST_STAMP_BYTES + 1) :]
        elif self.delays_ns:
            self.delays_ns.clear()
            self.opened.set_result(None)
        else:
            self._rest = data

    def connection_lost(self, exc: Exception | None) -> None:
        self._failed(f"a stream was lost: {exc or 'closed by the gateway'}")


class Streams:
    """All streams of one load."""

    def __init__(self, port: int, request: bytes, failed: Callable[[str], None]) -> None:
        self.open: list[Stream] = []
        self._port = port
        self._request = request
        self._failed = failed
        self._begun = 0

    async def grow_to(self, count: int) -> None:
        """Open more streams, a few at a time."""
        await asyncio.gather(*(self._open_up_to(count) for _ in range(_OPENING_AT_ONCE)))

    async def _open_up_to(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        while self._begun < count:
            self._begun += 1
            _, stream = await loop.create_connection(
                lambda: Stream(self._request, self._failed), "127.0.0.1", self._port
            )
            self.open.append(stream)
            await asyncio.wait_for(stream.opened, _FIRST_EVENT_SECONDS)
