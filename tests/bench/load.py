"""A load generator at work: a process that is told what to send and asked what came of it.

For the measures. Knows the words that ``native/load.c`` and ``load_in_python.py`` understand, not what a figure means.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Literal

import attrs

from tests.bench.ends import Ends
from tests.bench.framing import BenchError
from tests.bench.questions import Question

__all__ = ["Counted", "Load", "Running", "running"]

_CHECKOUT = Path(__file__).parents[2]
_GOING_SECONDS = 15.0

# What a load generator says since its last mark: `answers`, `wall_ns`, of delays `delay_p99_ns` and the like.
Counted = dict[str, float]


@attrs.frozen(kw_only=True)
class Load:
    """What is sent: see the head of ``native/load.c`` for the modes; ``calls`` 0 is without end."""

    mode: Literal["calls", "churn", "open", "streams"]
    question: Question
    connections: int
    per_second: float = 0
    calls: int = 0

    def arguments(self, port: int) -> tuple[str, ...]:
        """Return the command line of the load generator."""
        return (
            self.mode,
            str(port),
            str(self.connections),
            repr(float(self.per_second)),
            str(self.question.filler_bytes),
            str(self.calls),
            self.question.request.decode(),
        )


@attrs.define
class Running:
    """A load generator whose connections are all open."""

    _process: asyncio.subprocess.Process
    _stderr: IO[bytes]

    async def mark(self) -> Counted:
        """Return what was counted since the last mark."""
        return await self._asked("mark")

    async def grow(self, count: int) -> None:
        """Open more connections until there are so many."""
        await self._asked(f"grow {count}")

    async def stop(self) -> Counted:
        """Send no more, wait for what is under way, end; return what was counted since the last mark."""
        return await self._asked("stop")

    async def last(self) -> Counted:
        """Return the last words of a load that ends by itself."""
        return await self.line()

    async def _asked(self, command: str) -> Counted:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it has ended; its last line or its stderr says why
            self._process.stdin.write(f"{command}\n".encode())
            await self._process.stdin.drain()
        return await self.line()

    async def line(self) -> Counted:
        """Return the next line; raises BenchError with the reason when there is none."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            self._stderr.seek(0)
            raise BenchError(self._stderr.read().decode(errors="replace").strip() or "the load generator ended")
        words = line.decode().split()
        return {name: float(number) for name, number in zip(words[::2], words[1::2], strict=True)}


@asynccontextmanager
async def running(load: Load, port: int, ends: Ends) -> AsyncIterator[Running]:
    """Send a load to a port while the block lasts; it begins when all connections are open.

    Raises BenchError at any wrong answer or lost connection, when next asked.
    """
    with tempfile.TemporaryFile() as stderr:
        process = await asyncio.create_subprocess_exec(
            *ends.load,
            *load.arguments(port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=_CHECKOUT,
            start_new_session=True,
        )
        try:
            generator = Running(process, stderr)
            await generator.line()
            yield generator
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.wait_for(process.wait(), _GOING_SECONDS)
