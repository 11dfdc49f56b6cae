"""The board of one process, ``MemoryBoard``, and what any board keeps in memory of a topic, ``Snapshot``.

The protocol is in ``aiogate/board.py``. Knows nothing of Redis.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from aiogate.board import MOST_BYTES, Board, Hear, Topic
from aiogate.errors import StateError

__all__ = ["Board", "MemoryBoard", "MemoryTopic", "Snapshot", "Topic", "checked", "checked_name"]

_log: Final = logging.getLogger(__name__)
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,64}")
_KEY_CHARACTERS: Final = 512


@attrs.define(eq=False)
class Snapshot:
    """The entries of a topic, who hears of changes, and the timers of those that go by themselves."""

    _entries: dict[str, bytes] = attrs.field(factory=dict, init=False)
    _hear: list[Hear] = attrs.field(factory=list, init=False)
    _timers: dict[str, asyncio.TimerHandle] = attrs.field(factory=dict, init=False)
    _since: dict[str, float] = attrs.field(factory=dict, init=False)
    entries: Mapping[str, bytes] = attrs.field(init=False)

    @entries.default
    def _read_only(self) -> Mapping[str, bytes]:
        return MappingProxyType(self._entries)

    def set(self, key: str, value: bytes, seconds: float | None = None, age_seconds: float = 0.0) -> None:
        """Know an entry, for so long; whoever hears of changes does if it is another value."""
        self._forget_timer(key)
        loop = asyncio.get_running_loop()
        self._since[key] = loop.time() - age_seconds
        if seconds is not None:
            self._timers[key] = loop.call_later(max(0.0, seconds), self.drop, key)
        if self._entries.get(key) != value:
            self._entries[key] = value
            self._tell(key, value)

    def drop(self, key: str) -> None:
        """Know an entry no more."""
        self._forget_timer(key)
        self._since.pop(key, None)
        if self._entries.pop(key, None) is not None:
            self._tell(key, None)

    def age_seconds(self, key: str) -> float:
        """Return how long ago an entry was put."""
        now = asyncio.get_running_loop().time()
        return max(0.0, now - self._since.get(key, now))

    def on_change(self, hear: Hear) -> Callable[[], None]:
        """Have every change heard."""
        self._hear.append(hear)

        def end() -> None:
            if hear in self._hear:
                self._hear.remove(hear)

        return end

    def close(self) -> None:
        """End the timers: what is known stays as it is."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _forget_timer(self, key: str) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()

    def _tell(self, key: str, value: bytes | None) -> None:
        for hear in tuple(self._hear):
            try:
                hear(key, value)
            except Exception:  # noqa: BLE001 - the border to whoever hears: the others still do
                _log.exception("a change of %r on the board was not taken well", key)


@attrs.define(eq=False)
class MemoryTopic:
    """What one process knows of a subject."""

    _snapshot: Snapshot = attrs.field(factory=Snapshot, init=False)
    _version: int = attrs.field(default=0, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Count the changes, before anybody else hears of them."""
        self._snapshot.on_change(self._changed)

    @property
    def entries(self) -> Mapping[str, bytes]:
        """What is known now."""
        return self._snapshot.entries

    @property
    def version(self) -> int:
        """How many changes there have been."""
        return self._version

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """Have an entry known, for so long; raises ``StateError`` once the board is closed."""
        checked(key, value)
        self._open()
        self._snapshot.set(key, value, seconds)

    async def put_new(self, key: str, value: bytes, *, seconds: float | None = None) -> bool:
        """Put an entry if there is none of that key, and tell whether it was put."""
        if key in self.entries:
            return False
        await self.put(key, value, seconds=seconds)
        return True

    async def remove(self, key: str, *, only: bytes | None = None) -> None:
        """Take an entry away; with ``only``, if that is still its value."""
        self._open()
        if only is None or self.entries.get(key) == only:
            self._snapshot.drop(key)

    def age_seconds(self, key: str) -> float:
        """Return how long ago an entry was put."""
        return self._snapshot.age_seconds(key)

    def on_change(self, hear: Hear) -> Callable[[], None]:
        """Have every change heard."""
        return self._snapshot.on_change(hear)

    def close(self) -> None:
        """Take no more changes."""
        self._closed = True
        self._snapshot.close()

    def _changed(self, _key: str, _value: bytes | None) -> None:
        self._version += 1

    def _open(self) -> None:
        if self._closed:
            msg = "the board is closed"
            raise StateError(msg)


class MemoryBoard:
    """The board of a gateway that is alone: what is put is known at once, and gone when the process is."""

    is_shared: Final = False
    degraded: Final[str | None] = None
    """Nothing here can be away."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._topics: dict[str, MemoryTopic] = {}

    def topic(self, name: str) -> MemoryTopic:
        """Return a subject by its name."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[checked_name(name)] = MemoryTopic()
        return topic

    async def close(self) -> None:
        """Take no more changes."""
        for topic in self._topics.values():
            topic.close()


def checked_name(name: str) -> str:
    """Return a topic's name; raises ``ValueError`` for one that is none."""
    if not _NAME.fullmatch(name):
        msg = f"expected a topic of 1 to 64 small letters, digits or any of '_.-', got {name!r}"
        raise ValueError(msg)
    return name


def checked(key: str, value: bytes = b"") -> None:
    """Raise ``ValueError`` for a key or a value that no board takes."""
    if not 1 <= len(key) <= _KEY_CHARACTERS or not key.isprintable():
        msg = f"expected a key of 1 to {_KEY_CHARACTERS} printable characters, got {key[:_KEY_CHARACTERS]!r}"
        raise ValueError(msg)
    if len(value) > MOST_BYTES:
        msg = f"the value of {key!r} has {len(value)} bytes; the board takes {MOST_BYTES}"
        raise ValueError(msg)
