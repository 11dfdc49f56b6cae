"""What all exchanges share while the gateway runs: counters, journal, connections, logs, the count of what is open."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Final

import attrs

from aiogate.exchange import Clock
from aiogate.journal.writer import Journal
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.upstream import Upstream
from aiogate.server.access_log import AccessLog
from aiogate.server.metrics import Metrics
from aiogate.state import State

__all__ = ["House", "Tasks"]

_log: Final = logging.getLogger(__name__)


@attrs.define
class Tasks:
    """Keeps background tasks and their exceptions; the only place that makes any."""

    _running: set[asyncio.Task[None]] = attrs.field(factory=set)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end, whatever happens to the task that asked for it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def join(self, seconds: float | None = None) -> None:
        """Wait until nothing runs any more; what still does after ``seconds`` is cancelled, and said so in the log."""
        while self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                _log.error("a background task does not end and is cancelled: %s", task.get_coro())
                task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a background task failed", exc_info=error)


@attrs.define(kw_only=True)
class House:
    """The rooms that every exchange passes; made at start, closed at the end of the drain."""

    clock: Clock
    state: State
    journal: Journal
    upstream: Upstream
    access_log: AccessLog
    metrics: Metrics
    tasks: Tasks = attrs.field(factory=Tasks)
    open_exchanges: dict[str, Inbound] = attrs.field(factory=dict)
    stopping: bool = False
    cutting: bool = False
    _emptied: asyncio.Event | None = None

    def left(self) -> None:
        """Note that an exchange has gone from those under way."""
        if self._emptied is not None and not self.open_exchanges:
            self._emptied.set()

    async def emptied(self, seconds: float) -> None:
        """Wait until no exchange is under way, at most for so long."""
        self._emptied = asyncio.Event()
        if self.open_exchanges:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._emptied.wait()

    def cut(self) -> None:
        """End what is under way."""
        self.cutting = True
        for inbound in self.open_exchanges.values():
            inbound.task.cancel()
