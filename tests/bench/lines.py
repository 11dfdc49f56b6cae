"""Connections that carry calls, and the ways to drive them, for the load generator in Python.

Knows nothing of what a figure means. A wrong answer or a lost connection ends the load: a gateway that refuses is fast,
and must not look it.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

from tests.bench.framing import Message
from tests.bench.ticker import Ticker

__all__ = ["Calls", "Churn", "OpenLoop"]


class Line(asyncio.Protocol):
    """One connection; ``intended_ns`` is when its call should have been sent."""

    def __init__(self, calls: "Calls") -> None:
        self.intended_ns = 0
        self.waiting = False
        self._leaving = False
        self._calls = calls
        self._answer = Message()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def send(self, request: bytes, intended_ns: int) -> None:
        """Send the next call; the one before must have been answered."""
        self.intended_ns = intended_ns
        self.waiting = True
        self.transport.write(request)

    def leave(self) -> None:
        """Hang up."""
        self._leaving = True
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._calls.received += len(data)
        if not self._answer.feed(data):
            return
        if not self._answer.head.startswith(b"HTTP/1.1 200") or not self.waiting:
            self._calls.failed(f"wrong answer: {data[:600].decode(errors='replace')}")
            return
        self._answer = Message()
        self.waiting = False
        self._calls.answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._leaving:
            self._calls.failed(f"a connection was lost in the middle of the run: {exc or 'closed by the gateway'}")


class Calls:
    """As many calls as there are lines, all the time: each answer sends the next call; ``limit`` in all, 0: no end."""

    def __init__(self, port: int, request: bytes, limit: int, failed: Callable[[str], None]) -> None:
        self.failed = failed
        self.answers = self.received = 0
        self.delays_ns: list[int] = []
        self.stopping = False
        self._port = port
        self._request = request
        self._left = limit or None
        self._under_way = 0

    @property
    def done(self) -> bool:
        """Tell whether nothing is under way and nothing more will be sent."""
        return not self._under_way and (self.stopping or self._left == 0)

    async def grow_to(self, count: int) -> None:
        """Open the lines; each begins at once."""
        for _ in range(count):
            self._free(await self._connected())

    async def _connected(self) -> Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: Line(self), "127.0.0.1", self._port)
        return line

    def answered(self, line: Line) -> None:
        """Count an answer."""
        self.answers += 1
        self._under_way -= 1
        self._free(line)

    def _free(self, line: Line) -> None:
        self._send(line, 0)

    def _send(self, line: Line, intended_ns: int) -> None:
        if self.stopping or self._left == 0:
            return
        if self._left is not None:
            self._left -= 1
        self._under_way += 1
        line.send(self._request, intended_ns)


class Churn(Calls):
    """The same with a new connection for every call."""

    def __init__(self, port: int, request: bytes, limit: int, failed: Callable[[str], None]) -> None:
        super().__init__(port, request, limit, failed)
        self._openers: set[asyncio.Task[None]] = set()

    def answered(self, line: Line) -> None:
        """Count an answer; its connection is used up."""
        line.leave()
        self.answers += 1
        self._under_way -= 1
        if not self.stopping:
            opener = asyncio.create_task(self.grow_to(1))
            self._openers.add(opener)
            opener.add_done_callback(self._opened)

    def _opened(self, opener: asyncio.Task[None]) -> None:
        self._openers.discard(opener)
        if not opener.cancelled() and (error := opener.exception()):
            self.failed(f"a connection was refused: {error}")


class OpenLoop(Calls):
    """Calls that come when they come (Poisson, seeded), whether or not those before have been answered."""

    def __init__(self, port: int, request: bytes, per_second: float, failed: Callable[[str], None]) -> None:
        super().__init__(port, request, 0, failed)
        self._dice = random.Random(1)
        self._per_second = per_second
        self._due_ns = time.perf_counter_ns()
        self._lines: deque[Line] = deque()
        self._ticker = Ticker(self._tick)

    async def grow_to(self, count: int) -> None:
        """Open the lines, then let the first call come."""
        await super().grow_to(count)
        self._due_ns = time.perf_counter_ns()
        self._ticker.__enter__()  # for as long as the process lives

    def _tick(self) -> None:
        """Send what is due as long as a line is free; what waits for a line keeps its intended time."""
        now_ns = time.perf_counter_ns()
        while self._lines and self._due_ns <= now_ns:
            self._send(self._lines.popleft(), self._due_ns)
            self._due_ns += int(self._dice.expovariate(self._per_second) * 1e9)

    def answered(self, line: Line) -> None:
        """Note how long the call took since it should have been sent."""
        self.delays_ns.append(time.perf_counter_ns() - line.intended_ns)
        super().answered(line)

    def _free(self, line: Line) -> None:
        self._lines.append(line)
