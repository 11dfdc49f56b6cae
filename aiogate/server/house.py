"""What all exchanges share while the gateway runs: counters, journal, connections, logs, the count of what is open."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar

import attrs

from aiogate.board import Board
from aiogate.errors import refusal
from aiogate.exchange import Clock, Exchange
from aiogate.journal.writer import Journal
from aiogate.proxy.answer import Answer
from aiogate.proxy.upstream import Upstream
from aiogate.server.access_log import AccessLog
from aiogate.server.catalogue import Cards
from aiogate.server.crowd import Crowd
from aiogate.server.events import Events
from aiogate.server.generation import Generation
from aiogate.server.halts import Halts
from aiogate.server.merged_metrics import Counted
from aiogate.server.metrics import Metrics
from aiogate.server.notify import Notifier
from aiogate.server.shipper import Shipper
from aiogate.server.siblings import Siblings
from aiogate.server.state_probe import StateProbe
from aiogate.settings.model import ServerSettings
from aiogate.state import State

__all__ = ["House", "Tasks", "UnderWay"]

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)


@attrs.define
class Tasks:
    """Keeps background tasks and their exceptions; the only place that makes any."""

    _running: set[asyncio.Task[Any]] = attrs.field(factory=set)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end, whatever happens to the task that asked for it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._done)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine in a task of its own, for somebody who looks at what comes of it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def join(self, seconds: float | None = None) -> None:
        """Wait until nothing runs any more; what still does after ``seconds`` is cancelled, and said so in the log."""
        while self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                _log.error("a background task does not end and is cancelled: %s", task.get_coro())
                task.cancel()

    async def settled(self) -> None:
        """Wait until what runs now does not any more, whatever begins meanwhile."""
        if self._running:
            await asyncio.wait(tuple(self._running))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a background task failed", exc_info=error)


class UnderWay(Protocol):
    """An exchange under way, as the house sees it."""

    @property
    def exchange(self) -> Exchange:
        """What is known of it."""
        ...

    @property
    def answer(self) -> Answer:
        """What the client gets."""
        ...

    @property
    def generation(self) -> Generation:
        """What it began with and ends on."""
        ...

    @property
    def heard_at(self) -> float | None:
        """When its agent was last heard of, in the loop's time; None: no answer is passed on."""
        ...


@attrs.define(kw_only=True)
class House:
    """The rooms that every exchange passes; made at start, closed at the end of the drain."""

    clock: Clock
    state: State
    board: Board
    journal: Journal
    upstream: Upstream
    access_log: AccessLog
    metrics: Metrics
    events: Events
    notifier: Notifier = attrs.field(factory=Notifier)
    siblings: Siblings = attrs.field(factory=Siblings)
    counted: Counted = attrs.field(init=False)
    tasks: Tasks = attrs.field(factory=Tasks)
    crowd: Crowd = attrs.field(factory=Crowd)
    cards: Cards = attrs.field(factory=Cards)
    halts: Halts = attrs.field(factory=Halts)
    state_probe: StateProbe | None = None
    open_exchanges: dict[str, UnderWay] = attrs.field(factory=dict)
    shipper: Shipper | None = None
    """Ships the journal; None: nobody else wants to know it."""
    stopping: bool = False
    cutting: bool = False
    leftovers: set[Exchange] = attrs.field(factory=set)
    """What is read on although its client has gone."""
    listens: str = ""
    """Where clients reach this process, as the system has it."""
    _emptied: asyncio.Event | None = None

    outgoing: dict[int, tuple[set[str], asyncio.Event]] = attrs.field(factory=dict)
    """Generations that are in force no more, by number: the exchanges that still end on them."""

    @counted.default
    def _beside_the_others(self) -> Counted:
        return Counted(self.siblings)

    def public(self, server: ServerSettings) -> str:
        """Return the base of the gateway's addresses, without a slash at its end; it is never what a client says."""
        return (server.public_url or f"http://{self.listens or server.listen}").rstrip("/")

    def left(self, request_id: str, generation: int) -> None:
        """Note that an exchange has gone from those under way; to be called while anybody waits for that."""
        if self._emptied is not None and not self.open_exchanges:
            self._emptied.set()
        if generation in self.outgoing:
            rest, ended = self.outgoing[generation]
            rest.discard(request_id)
            if not rest:
                ended.set()

    async def ended(self, generation: Generation) -> None:
        """Wait until no exchange is under way that began with a generation, which is in force no more."""
        rest = {request_id for request_id, walk in self.open_exchanges.items() if walk.generation is generation}
        if rest:
            ended = asyncio.Event()
            self.outgoing[generation.number] = rest, ended
            try:
                await ended.wait()
            finally:
                del self.outgoing[generation.number]
        await self.tasks.settled()  # their plugins may still be hearing of the end

    async def emptied(self, seconds: float) -> None:
        """Wait until no exchange is under way, at most for so long."""
        self._emptied = asyncio.Event()
        if self.open_exchanges:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._emptied.wait()

    def cut(self) -> None:
        """End what is under way: each client is told to come back in a moment."""
        self.cutting = True
        why = refusal("shutting_down", "the gateway restarts; ask again", retry_after_seconds=1.0)
        for exchange in self.under_way():
            exchange.cut(why)

    def under_way(self) -> list[Exchange]:
        """Return the exchanges that have not ended, those included whose client has."""
        return [*(walk.exchange for walk in self.open_exchanges.values()), *self.leftovers]
