"""``RedisBoard``: the board that all gateways on one Redis share.

Changes are told by publish/subscribe. In case that a message is lost each gateway asks every second which topics have
changed, in one call, and reads those again. While Redis is away what was known stays readable, and what goes by itself
goes; changes raise ``StateError``. When it is back, with its memory or without, each gateway puts there what it knows
and Redis does not: of each entry the latest change wins, so it does not matter who comes first, nor how often.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Final

from aiogate.errors import StateError
from aiogate.state.board import checked_name
from aiogate.state.redis.link import DeniedError, Link
from aiogate.state.redis.places import place_of
from aiogate.state.redis.scripts import board_source
from aiogate.state.redis.topic import Change, Known, RedisTopic, change_of

__all__ = ["RedisBoard"]

_log: Final = logging.getLogger(__name__)
_CHECK_SECONDS: Final = 1.0
_ASK_SECONDS: Final = 2.0
_ROWS: Final = 500
_ROUNDS: Final = 5
_SHOWN_BYTES: Final = 80


class RedisBoard:
    """The topics, and the two connections that they are kept current by."""

    def __init__(self, url: str, *, prefix: str = "aiogate:") -> None:
        """Keep where to connect; raises ``ValueError`` for a URL that cannot be read."""
        self._prefix = f"{prefix}{{board}}:"  # in a cluster, all of it is in one slot
        place = place_of(url, self._prefix)
        self._link = Link(place, board_source())
        self._hears = Link(place, board_source())
        self._asking = asyncio.Lock()
        self._due = asyncio.Event()
        self._topics: dict[str, RedisTopic] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self.is_shared: Final = True
        self.degraded: str | None = "Redis has not been asked yet"
        """Why what is known may be old; None: it is current."""

    def topic(self, name: str) -> RedisTopic:
        """Return a subject by its name."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = RedisTopic(checked_name(name), self)
            self._due.set()
        return topic

    async def open(self) -> None:
        """Read all topics; a Redis that cannot be reached is gone without until it can.

        Raises ``StateError`` where it refuses this user.
        """
        try:
            await self._check()
        except StateError as error:
            self._fell(error)
            if isinstance(error, DeniedError):
                raise
        loop = asyncio.get_running_loop()
        for work in (self._keep_checking(), self._keep_hearing()):
            task = loop.create_task(work)
            task.add_done_callback(_ended)
            self._tasks.append(task)

    async def close(self) -> None:
        """Let go of the connections; what is known stays readable, and nothing can be changed."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        await self._link.close()
        await self._hears.close()
        for topic in self._topics.values():
            topic.snapshot.close()

    # what topics ask for

    async def change(self, topic: RedisTopic, operation: bytes, key: str, value: bytes | None, *more: bytes) -> bool:
        """Have Redis change an entry, and know it here; tell whether it did. Raises ``StateError``."""
        if self._closed:
            msg = "the board is closed"
            raise StateError(msg)
        now, before, version, birth, done, expires = await self._ask(topic.name, operation, key.encode(), *more)
        if done:
            known = Known(int(version), int(expires), value)
            change = Change(int(before), birth, int(now), key, known)
            if not topic.take(change):
                await self._read(topic)
        elif int(version) != topic.version:
            await self._read(topic)
        return bool(done)

    async def _ask(self, topic: str, operation: bytes, *arguments: bytes) -> Any:  # noqa: ANN401 - what Redis says
        base = f"{self._prefix}topic:{topic}"
        keys = (f"{self._prefix}versions", base, f"{base}:expires")
        async with self._asking:
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    return await self._link.run(keys, operation, topic.encode(), *arguments)
            except TimeoutError:
                msg = f"Redis has not answered within {_ASK_SECONDS:g} s"
                raise StateError(msg) from None

    async def _read(self, topic: RedisTopic) -> None:
        """Know all of a topic, and put back what Redis has lost of it."""
        for _ in range(_ROUNDS):
            with topic.reading():
                now, version, birth, flat = await self._ask(topic.name, b"get")
            lost = topic.replace(int(now), int(version), birth, _pairs(flat))
            for first in range(0, len(lost), _ROWS):
                await self._give_back(topic, lost[first : first + _ROWS])
            if not lost and not topic.is_behind:
                return
        self._due.set()

    async def _give_back(self, topic: RedisTopic, lost: Sequence[tuple[str, Known]]) -> None:
        rows = [
            part
            for key, known in lost
            for part in (key.encode(), b"%d" % known.version, b"%d" % known.expires, known.sign, known.value or b"")
        ]
        _, merged = await self._ask(topic.name, b"merge", *rows)
        if merged:
            _log.warning("the board's %r had been lost in Redis; %d entries are there again", topic.name, merged)

    async def _check(self) -> None:
        """Read again what has changed."""
        _, flat = await self._ask("", b"versions")
        versions = {name.decode(): int(version.split()[0]) for name, version in _pairs(flat).items()}
        for name in versions:
            self.topic(name)
        for name, topic in tuple(self._topics.items()):
            if versions.get(name, 0) != topic.version:
                await self._read(topic)
        if self.degraded is not None and self._tasks:
            _log.warning("the board is current again; it was: %s", self.degraded)
        self.degraded = None

    async def _keep_checking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._due.wait()
            self._due.clear()
            try:
                await self._check()
            except StateError as error:
                self._fell(error)
                await asyncio.sleep(_CHECK_SECONDS / 4)
            except Exception as error:  # noqa: BLE001 - the border of a round: what is no entry ends nothing
                self._fell(StateError(f"what is in Redis is not understood: {error!r}"))

    async def _keep_hearing(self) -> None:
        told = False
        while True:
            try:
                await self._hears.subscribe(f"{self._prefix}versions:changes")
                self._due.set()  # of what was published before nothing is heard
                told = False
                while True:
                    self._hear(await self._hears.heard())
            except DeniedError as error:
                if not told:
                    _log.warning("changes of the board are known a second later, for want of +subscribe: %s", error)
                told = True
            except StateError:
                pass  # the check says it
            await asyncio.sleep(_CHECK_SECONDS / 2)

    def _hear(self, message: bytes) -> None:
        try:
            name, change = change_of(message)
        except ValueError:
            _log.error("somebody else speaks on the channel of the board: %r", message[:_SHOWN_BYTES])
            return
        topic = self.topic(name)
        if change is None or not topic.take(change):
            topic.is_behind = True
            self._due.set()

    def _fell(self, error: StateError) -> None:
        if self.degraded is None:
            _log.error("the board is not current any more: %s", error)
        self.degraded = str(error)


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("what keeps the board current has failed", exc_info=error)
