"""Keep-alive connections that carry one call after another, and the two ways to drive them.

For the measures. Knows nothing of what a figure means. A wrong answer or a lost connection ends the run: a gateway that
refuses is fast, and must not look it.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.bench.framing import BenchError, Message
from tests.bench.ticker import Ticker

__all__ = ["ClosedLoop", "closed_loop", "open_loop"]

_ANSWER_SECONDS = 10.0


class Line(asyncio.Protocol):
    """One connection; ``intended_ns`` is when its call should have been sent."""

    def __init__(self, request: bytes, answered: Callable[["Line"], None], failed: Callable[[str], None]) -> None:
        self.intended_ns = 0
        self._request = request
        self._answered = answered
        self._failed = failed
        self._answer = Message()
        self.lost = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def send(self, intended_ns: int) -> None:
        """Send the next call; the one before must have been answered."""
        self.intended_ns = intended_ns
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._answer.feed(data):
            return
        if not self._answer.head.startswith(b"HTTP/1.1 200"):
            self._failed(f"wrong answer: {data[:600].decode(errors='replace')}")
            return
        self._answer = Message()
        self._answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._failed(f"a connection was lost in the middle of the run: {exc or 'closed by the gateway'}")


class Pool:
    """Open lines to one port, and the first trouble that any of them had."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def failed(self, why: str) -> None:
        """Remember the first trouble; ``wait`` raises it."""
        if not self._trouble.done():
            self._trouble.set_exception(BenchError(why))

    async def wait(self, seconds: float, *, until: asyncio.Future[None] | None = None) -> bool:
        """Let time pass, or until the future is done, and then say True; raises BenchError at the first trouble."""
        awaited = {self._trouble, until} - {None}
        done, _ = await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
        if self._trouble in done:
            self._trouble.result()
        return until in done

    async def close(self) -> None:
        """Close every line, whatever it carries; return when their sockets are closed."""
        self._trouble.cancel()
        for line in self.lines:
            line.transport.abort()
        while not all(line.lost for line in self.lines):
            await asyncio.sleep(0)


@asynccontextmanager
async def _pool(port: int, request: bytes, connections: int, answered: Callable[[Line], None]) -> AsyncIterator[Pool]:
    pool = Pool()
    loop = asyncio.get_running_loop()
    try:
        for _ in range(connections):
            _, line = await loop.create_connection(lambda: Line(request, answered, pool.failed), "127.0.0.1", port)
            pool.lines.append(line)
        yield pool
    finally:
        await pool.close()


class ClosedLoop:
    """As many calls as there are lines, all the time: each answer sends the next call."""

    def __init__(self) -> None:
        self.answers = 0
        self._pool: Pool
        self._goal = -1
        self._reached: asyncio.Future[None] | None = None
        self._open = 0
        self._stopping = False

    def start(self, pool: Pool) -> None:
        """Send the first call on every line."""
        self._pool = pool
        self._open = len(pool.lines)
        for line in pool.lines:
            line.send(0)

    def answered(self, line: Line) -> None:
        """Count an answer and send the next call."""
        self.answers += 1
        if self.answers == self._goal and self._reached is not None:
            self._reached.set_result(None)
        if self._stopping:
            self._open -= 1
        else:
            line.send(0)

    async def run(self, seconds: float) -> None:
        """Go on for so long."""
        await self._pool.wait(seconds)

    async def run_calls(self, calls: int, *, within_seconds: float) -> None:
        """Go on until so many more calls have been answered."""
        self._goal = self.answers + calls
        self._reached = asyncio.get_running_loop().create_future()
        if not await self._pool.wait(within_seconds, until=self._reached):
            msg = f"{calls} calls were not answered within {within_seconds:g} s"
            raise BenchError(msg)

    async def stop(self) -> None:
        """Send no more; raises BenchError when a call is never answered, which the others would have hidden."""
        self._stopping = True
        deadline = time.monotonic() + _ANSWER_SECONDS
        while self._open and time.monotonic() < deadline:
            await self._pool.wait(0.001)
        if self._open:
            msg = f"{self._open} of {len(self._pool.lines)} calls at once had no answer after {_ANSWER_SECONDS:g} s"
            raise BenchError(msg)


@asynccontextmanager
async def closed_loop(port: int, request: bytes, *, connections: int) -> AsyncIterator[ClosedLoop]:
    """Keep so many calls open at once while the block lasts."""
    loop = ClosedLoop()
    async with _pool(port, request, connections, loop.answered) as pool:
        loop.start(pool)
        yield loop
        await loop.stop()


class OpenLoop:
    """Calls that come when they come (Poisson, seeded), whether or not those before have been answered."""

    def __init__(self, per_second: float, seconds: float) -> None:
        dice = random.Random(1)
        now_ns = time.perf_counter_ns()
        self.delays_ns: list[int] = []
        self.all_answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._intended_ns = [now_ns]
        for _ in range(int(per_second * seconds)):
            self._intended_ns.append(self._intended_ns[-1] + int(dice.expovariate(per_second) * 1e9))
        self._next = 0
        self._free: deque[Line] = deque()

    def start(self, pool: Pool) -> None:
        """Let the first call come now."""
        self._free.extend(pool.lines)
        late_ns = time.perf_counter_ns() - self._intended_ns[0]
        self._intended_ns = [intended_ns + late_ns for intended_ns in self._intended_ns]

    def tick(self) -> None:
        """Send what is due as long as a line is free; what waits for a line keeps its intended time."""
        now_ns = time.perf_counter_ns()
        while self._free and self._next < len(self._intended_ns) and self._intended_ns[self._next] <= now_ns:
            self._free.popleft().send(self._intended_ns[self._next])
            self._next += 1

    def answered(self, line: Line) -> None:
        """Note how long the call took since it should have been sent."""
        self.delays_ns.append(time.perf_counter_ns() - line.intended_ns)
        self._free.append(line)
        if len(self.delays_ns) == len(self._intended_ns):
            self.all_answered.set_result(None)


async def open_loop(port: int, request: bytes, *, per_second: float, seconds: float, connections: int) -> list[int]:
    """Call at a fixed mean rate; return each call's nanoseconds from when it should have been sent to its last byte.

    The first tenth is warm-up and left out.
    """
    loop = OpenLoop(per_second, seconds)
    async with _pool(port, request, connections, loop.answered) as pool:
        loop.start(pool)
        with Ticker(loop.tick):
            if not await pool.wait(seconds + _ANSWER_SECONDS, until=loop.all_answered):
                msg = f"{per_second:.0f} calls a second were not answered within {_ANSWER_SECONDS:g} s of their end"
                raise BenchError(msg)
    return loop.delays_ns[len(loop.delays_ns) // 10 :]
