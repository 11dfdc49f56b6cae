"""Sends operations to Redis: what comes together in one tick of the loop goes together, one batch under way at a time.

Decides when Redis is away and when it is back. Knows nothing of what the operations are about.
"""

import asyncio
import itertools
import logging
import random
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import orjson

from aiogate.errors import StateError
from aiogate.state.redis.link import Link, ScriptError
from aiogate.state.redis.operations import Operation, micros

__all__ = ["Batches", "Listener"]

_log: Final = logging.getLogger(__name__)
_TOGETHER: Final = 200
_MOST_PENDING: Final = 10_000
_CONNECT_SECONDS: Final = 2.0
_SOONEST_SECONDS: Final = 0.05
_LATEST_SECONDS: Final = 1.0


class Listener(Protocol):
    """Who hears how Redis is doing."""

    def gone(self) -> None:
        """Redis does not answer, or not in time."""

    def back(self) -> Operation:
        """It is to be tried again; return what is asked first."""

    def lost(self) -> None:
        """It answers and remembers nothing: restarted, emptied, or another one that took its place too early."""

    def dropped(self, operation: Operation) -> None:
        """Too much is pending: this one will never be sent."""


class Batches:
    """The operations on their way, in order.

    Each counts exactly once: batches are numbered, and one whose answer was lost is sent again in a way that lets the
    script tell whether it was done (``batch.lua``).

    An operation that somebody waits for is sent at once or not at all: it fails with ``StateError`` when Redis has not
    answered ``timeout_seconds`` after it was asked, and at once while Redis is away. The rest is kept and sent later.
    """

    def __init__(
        self, link: Link, prefix: str, timeout_seconds: float, monotonic: Callable[[], float], listener: Listener
    ) -> None:
        """Start with nothing under way; ``prefix`` holds a hash tag, so that in a cluster all is in one slot."""
        self._link = link
        self._prefix = prefix
        self._timeout = timeout_seconds
        self._monotonic = monotonic
        self._listener = listener
        self.now: Callable[[], float] | None = None
        """A test's own time for the script, in seconds. No config leads here; who can call scripts can do anything."""
        self.gateway: Final = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._queue: deque[Operation] = deque()
        self._in_doubt = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._has_come_through = False
        self._closed = False
        self.away: str | None = None
        """Why nothing can be asked at present."""

    @property
    def pending(self) -> int:
        """How many operations wait for being sent."""
        return len(self._queue)

    async def ask(self, operation: Operation) -> Any:  # noqa: ANN401 - the script's answer
        """Return what the script answers; raises ``StateError``."""
        if self.away is not None:
            raise StateError(self.away or "Redis is being tried again")
        loop = asyncio.get_running_loop()
        operation.answer = loop.create_future()
        operation.asked = loop.time()
        self._append(operation)
        return await operation.answer

    def tell(self, operation: Operation) -> None:
        """Have an operation done, now or when Redis is back; nothing is any more once this is closed."""
        if self._closed:
            return
        if len(self._queue) >= _MOST_PENDING:
            self._queue.rotate(-self._in_doubt)  # those may have been done
            self._listener.dropped(self._queue.popleft())
            self._queue.rotate(self._in_doubt)
        self._append(operation)

    async def open(self) -> None:
        """Try once whether Redis is there; raises ``StateError`` when it is not, and goes on trying."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._link.connect()
        except (StateError, TimeoutError) as error:
            self._fall([], error)
            raise StateError(self.away or "") from error
        finally:
            self._start()

    async def close(self, seconds: float) -> None:
        """Send what is pending, for so long; then let go of the connection."""
        self._closed = True
        if self._worker is not None:
            if self.away is None and not self._idle.is_set():
                try:
                    async with asyncio.timeout(seconds):
                        await self._idle.wait()
                except TimeoutError:
                    _log.warning("%d operations on Redis were never sent", len(self._queue))
            self._worker.cancel()
            await asyncio.wait({self._worker})
            self._worker = None
        await self._link.close()
        self.away = "the counters in Redis are closed"

    def _append(self, operation: Operation) -> None:
        self._queue.append(operation)
        self._idle.clear()
        if self._worker is None:
            self._start()
        self._wake.set()

    def _start(self) -> None:
        self._worker = asyncio.get_running_loop().create_task(self._work())
        self._worker.add_done_callback(self._ended)

    async def _work(self) -> None:
        while True:
            if self.away is not None:
                await self._come_back()
            if not self._queue:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
                continue
            if batch := self._next():
                await self._flush(batch, self._deadline())

    def _next(self) -> list[Operation]:
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(_TOGETHER, len(queue)))]
        self._in_doubt = 0
        return [one for one in batch if one.answer is None or not one.answer.done()]

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _flush(self, batch: list[Operation], deadline: float) -> None:
        """Send a batch and hand out the answers; what nobody waits for is put back when it fails."""
        number = next(self._numbers)
        asked = [one.asked for one in batch if one.answer is not None]
        if asked:
            deadline = min(asked) + self._timeout
        try:
            async with asyncio.timeout_at(deadline):
                replies = await self._link.run(*self._packed(number, batch))
        except ScriptError as error:
            _log.error("%d operations on Redis are given up: %s", len(batch), error)
            self._fall([one for one in batch if one.answer is not None], error)
        except (StateError, TimeoutError) as error:
            self._fall(batch, error, number)
        except asyncio.CancelledError:
            _fail(batch, StateError("the counters in Redis are closed"))
            raise
        except BaseException as error:
            _fail(batch, StateError(f"Redis: {type(error).__name__}"))
            raise
        else:
            self._deliver(batch, replies)

    def _packed(self, number: int, batch: Sequence[Operation]) -> tuple[Sequence[str], bytes]:
        keys = [f"{self._prefix}gateway:{self.gateway}", f"{self._prefix}gateways"]
        places: dict[str, int] = {}

        def index(counter: str) -> int:
            place = places.get(counter)
            if place is None:
                place = places[counter] = len(keys) + 1
                key = f"{self._prefix}counter:{counter}"
                keys.extend((key, f"{key}:log"))
            return place

        now = self._monotonic()
        time = -1 if self.now is None else micros(self.now())
        return keys, orjson.dumps([number, time, [one.told(index, now) for one in batch]])

    def _deliver(self, batch: Sequence[Operation], replies: Sequence[Any]) -> None:
        if replies[0] == 0 and self._has_come_through:
            _log.error("Redis has lost the counters; they begin anew with what this gateway knows")
            self._listener.lost()
        self._has_come_through = True
        for operation, reply in zip(batch, replies[1:], strict=True):
            answer = operation.answer
            if answer is not None and not answer.done():
                answer.set_result(reply)
            elif operation.heard is not None:
                operation.heard(reply)

    def _fall(self, batch: Sequence[Operation], error: BaseException, number: int = 0) -> None:
        """Redis is away: who waits is told, the rest goes first when it is back."""
        why = str(error) or f"Redis has not answered within {self._timeout:g} s"
        again = []
        for one in batch:
            if one.answer is None and one.lasts:
                one.first = one.first or number
                again.append(one)
            elif one.undo is not None and number:
                again.append(one.undo(number))
        waiting = [one for one in self._queue if one.answer is not None]
        _fail([*batch, *waiting], StateError(why))
        self._queue = deque([*again, *(one for one in self._queue if one.answer is None)])
        self._in_doubt = len(again)
        if self.away is None:
            _log.error("counters are not shared any more: %s", why)
            self.away = why
            self._listener.gone()
        self.away = why

    async def _come_back(self) -> None:
        """Try until Redis does what it is asked, which is the next batch, if there is one."""
        for seconds in itertools.chain((_SOONEST_SECONDS * 2**n for n in range(5)), itertools.repeat(_LATEST_SECONDS)):
            await asyncio.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - so that gateways do not come at once
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await self._link.connect()
            except (StateError, TimeoutError) as error:
                self.away = str(error) or f"Redis has not answered within {_CONNECT_SECONDS:g} s"
                continue
            was, self.away = self.away, ""
            await self._flush([*self._next(), self._listener.back()], self._deadline())
            if self.away == "":
                self.away = None
                _log.warning("counters are shared again; it was: %s", was)
                return

    def _ended(self, worker: asyncio.Task[None]) -> None:
        """A fault of ours: what was under way is lost, and nobody waits for ever."""
        if not worker.cancelled() and (error := worker.exception()) is not None:
            _log.critical("what speaks to Redis has failed", exc_info=error)
            self._fall([], error)
            self._start()


def _fail(batch: Sequence[Operation], error: StateError) -> None:
    for one in batch:
        if one.answer is not None and not one.answer.done():
            one.answer.set_exception(error)
