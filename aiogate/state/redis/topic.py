"""One topic of the board as a gateway knows it, and how it is made to agree with Redis: see ``board.lua``.

Knows nothing of connections.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

import attrs

from aiogate.board import Hear
from aiogate.state.board import Snapshot, checked
from aiogate.state.redis.operations import MICRO, micros

__all__ = ["Change", "Known", "RedisTopic", "change_of"]

_SURELY_KEPT_MICROS: Final = 43_200 * MICRO
"""Half of the time for which Redis remembers what was taken away: what is younger and missing there was lost."""


@attrs.frozen
class Known:
    """An entry at one time: the version of its change, when it goes by itself in Redis's microseconds or 0, its value.

    None: it was taken away.
    """

    version: int
    expires: int
    value: bytes | None

    @property
    def sign(self) -> bytes:
        """How Redis tells an entry from one that was taken away."""
        return b"-" if self.value is None else b"+"

    @classmethod
    def parsed(cls, raw: bytes) -> "Known":
        """Return an entry as Redis has it."""
        version, expires, rest = raw.split(b" ", 2)
        return cls(int(version), int(expires), rest[1:] if rest.startswith(b"+") else None)


@attrs.frozen
class Change:
    """One step of a topic: from the version ``before`` to that of what is known of ``key``; ``now`` is Redis's time."""

    before: int
    birth: bytes
    now: int
    key: str
    known: Known

    @property
    def version(self) -> int:
        """The topic's version after it."""
        return self.known.version


class Changes(Protocol):
    """Who has changes made in Redis."""

    async def change(self, topic: "RedisTopic", operation: bytes, key: str, value: bytes | None, *more: bytes) -> bool:
        """Have an entry changed, and tell whether it was."""


def change_of(message: bytes) -> tuple[str, Change | None]:
    """Return the topic that a message is about, and what has changed; None: more than fits a message."""
    head, _, body = message.partition(b"\n")
    name, before, version, birth, now, expires, sign, length = head.split(b" ")
    if int(length) < 0:
        return name.decode(), None
    key, value = body[: int(length)], body[int(length) :]
    known = Known(int(version), int(expires), value if sign == b"+" else None)
    return name.decode(), Change(int(before), birth, int(now), key.decode(), known)


@attrs.define(eq=False)
class RedisTopic:
    """What is known of a subject, and with which version of it that agrees."""

    name: str
    _changes: Changes
    snapshot: Snapshot = attrs.field(factory=Snapshot, init=False)
    is_behind: bool = attrs.field(default=False, init=False)
    """Something has changed of which this does not know what."""
    _version: int = attrs.field(default=0, init=False)
    _birth: bytes = attrs.field(default=b"", init=False)
    _known: dict[str, Known] = attrs.field(factory=dict, init=False)
    _readers: int = attrs.field(default=0, init=False)

    # what everybody asks for

    @property
    def entries(self) -> Mapping[str, bytes]:
        """What is known now."""
        return self.snapshot.entries

    @property
    def version(self) -> int:
        """The version in Redis that is known here."""
        return self._version

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """Have an entry known everywhere, for so long; raises ``StateError``."""
        await self._put(key, value, seconds, b"0")

    async def put_new(self, key: str, value: bytes, *, seconds: float | None = None) -> bool:
        """Put an entry if there is none of that key in Redis, and tell whether it was put."""
        return await self._put(key, value, seconds, b"1")

    async def remove(self, key: str, *, only: bytes | None = None) -> None:
        """Take an entry away, everywhere; with ``only``, if that is still its value. Raises ``StateError``."""
        checked(key)
        condition = (b"0",) if only is None else (b"1", only)
        await self._changes.change(self, b"remove", key, None, *condition)

    def age_seconds(self, key: str) -> float:
        """Return how long ago an entry was put, by Redis's clock."""
        return self.snapshot.age_seconds(key)

    def on_change(self, hear: Hear) -> Callable[[], None]:
        """Have every change heard."""
        return self.snapshot.on_change(hear)

    async def _put(self, key: str, value: bytes, seconds: float | None, only_new: bytes) -> bool:
        checked(key, value)
        lives = 0 if seconds is None else max(1, micros(seconds))
        return await self._changes.change(self, b"put", key, value, value, b"%d" % lives, only_new)

    # what the board does to it

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Take no single changes, as all of it is being read: which of the two is the later one nobody could tell."""
        self._readers += 1
        self.is_behind = False
        try:
            yield
        finally:
            self._readers -= 1

    def take(self, change: Change) -> bool:
        """Know a change; tell whether nothing is missing before it. One that is known already is no harm."""
        if change.birth == self._birth and change.version <= self._version:
            return True
        is_next = change.before == self._version and (change.birth == self._birth or not self._birth)
        if self._readers or not is_next:
            return False
        self._version, self._birth = change.version, change.birth
        self._know(change.key, change.known, change.now)
        return True

    def replace(self, now: int, version: int, birth: bytes, entries: Mapping[bytes, bytes]) -> list[tuple[str, Known]]:
        """Know what Redis says; return what it has lost, which is still known here."""
        theirs = {key.decode(): Known.parsed(raw) for key, raw in entries.items()}
        reborn = birth != self._birth
        lost = [(key, known) for key, known in self._known.items() if _is_lost(known, theirs.get(key), now, reborn)]
        self._version, self._birth = version, birth
        kept = theirs | dict(lost)
        for key in self._known.keys() - kept.keys():
            del self._known[key]
            self.snapshot.drop(key)
        for key, known in kept.items():
            if self._known.get(key) != known:
                self._know(key, known, now)
        return lost

    def _know(self, key: str, known: Known, now: int) -> None:
        self._known[key] = known
        if known.value is None or 0 < known.expires <= now:
            self.snapshot.drop(key)
        else:
            seconds = (known.expires - now) / MICRO if known.expires else None
            self.snapshot.set(key, known.value, seconds, max(0, now - known.version) / MICRO)


def _is_lost(ours: Known, theirs: Known | None, now: int, reborn: bool) -> bool:
    """Tell whether Redis would know an entry, or a later state of it, if it had lost nothing."""
    if 0 < ours.expires <= now:
        return False
    if theirs is None:
        return reborn or ours.version > now - _SURELY_KEPT_MICROS
    return theirs.version < ours.version
