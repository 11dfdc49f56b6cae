"""The keys of the store, as the board tells of them: held in memory, so that looking one up asks nobody.

Knows nothing of requests, nor of where the board has it from.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiogate import KEYS_TOPIC, AiogateError, Board, Pepper, Revocation, StoredKey, Topic
from aiogate.builtin.api_keys.known import Known

__all__ = ["Stored"]

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 200


class Stored:
    """Puts the keys of the store among those that the plugin knows, and takes them away again.

    Args:
        pepper: where it is; it is read when there are keys.
        known: the plugin's own keys by id; what is in it now is the config's, and stays.
        peppers: what digests are made with; each request pays for each of them.
    """

    def __init__(self, pepper: Pepper, known: dict[str, Known], peppers: list[bytes | None]) -> None:
        """Begin with nothing."""
        self.pepper = pepper
        self._known = known
        self._own = frozenset(known)
        self._peppers = peppers
        self._board: Board | None = None
        self._topic: Topic | None = None
        self._wanted = asyncio.Event()
        self._complained = set[str]()
        self.rotating = set[str]()
        """The keys that have a secret of before."""
        self._strange: dict[str, set[str]] = {}
        """Keys that nobody here can tell, by the pepper that they were made with."""

    @property
    def is_unread(self) -> bool:
        """Whether nobody knows yet which keys there are."""
        board, topic = self._board, self._topic
        return board is not None and topic is not None and not topic.version and board.degraded is not None

    @asynccontextmanager
    async def followed(self, board: Board) -> AsyncIterator[None]:
        """Know the keys while this is open; raises ``AiogateError`` where those that there are cannot be told apart."""
        topic = board.topic(KEYS_TOPIC)
        self._board, self._topic = board, topic
        self._strange.clear()
        await asyncio.to_thread(self.pepper.read)
        end = topic.on_change(lambda name, _: self._take(name))
        try:
            await self._take_all(topic)
            for said in self._of_other_peppers():
                raise AiogateError(said)
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read_pepper_when_wanted())
                yield
                reading.cancel()
        finally:
            end()

    async def _take_all(self, topic: Topic) -> None:
        """Know all keys, and let others have their turn meanwhile: there may be thousands."""
        for index, name in enumerate(tuple(topic.entries)):
            self._take(name)
            if not (index + 1) % _AT_ONCE:
                await asyncio.sleep(0)

    def _take(self, name: str) -> None:
        """Know of a key what the topic says now; of one that is not in order that it lets nobody in."""
        key_id = Revocation.revokes(name) or name
        if key_id in self._own:
            return
        self.rotating.discard(key_id)
        for key_ids in self._strange.values():
            key_ids.discard(key_id)
        known = self._judged(key_id)
        if known is None:
            self._known.pop(key_id, None)
            return
        self._known[key_id] = known
        if known.previous_until:
            self.rotating.add(key_id)

    def _judged(self, key_id: str) -> Known | None:
        topic = self._topic
        entry = None if topic is None else topic.entries.get(key_id)
        if topic is None or entry is None or Revocation.name(key_id) in topic.entries:
            return None
        try:
            key = StoredKey.of(entry)
            if key.id != key_id:
                self._complain(f"key {key_id!r} of the store calls itself {key.id!r}")
                return None
            secret = self.pepper.known
            if secret is None or key.pepper_id != Pepper.id_of(secret):
                self._strange.setdefault(key.pepper_id, set()).add(key_id)
                if key.pepper_id not in self._complained:
                    self._wanted.set()  # its file may have been made just now
                return None
            if secret not in self._peppers:
                self._peppers.append(secret)
            return Known.of_stored(key, self._peppers.index(secret))
        except (ValueError, TypeError, AttributeError) as error:
            self._complain(f"key {key_id!r} of the store cannot be used: {error}")
            return None

    async def _read_pepper_when_wanted(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await asyncio.to_thread(self.pepper.read)
            except AiogateError as error:
                self._complain(str(error))
            if self._topic is not None:
                await self._take_all(self._topic)
            for said in self._of_other_peppers():
                self._complain(said)

    def _of_other_peppers(self) -> list[str]:
        """Return what is wrong, for each pepper that keys were made with and that is not here."""
        others = {pepper_id: sorted(key_ids) for pepper_id, key_ids in self._strange.items() if key_ids}
        here = None if self.pepper.known is None else Pepper.id_of(self.pepper.known)
        self._complained = set(others)
        found = "there is none" if here is None else f"pepper {here} is"
        return [
            f"{len(key_ids)} keys of the store ({', '.join(key_ids[:3])} ...) were made with pepper {pepper_id}, and "
            f"{found} in {self.pepper.place}: give the one that they were made with, as plugins.api_keys.pepper or in "
            "that file, or revoke them and make others"
            for pepper_id, key_ids in others.items()
        ]

    def _complain(self, what: str) -> None:
        _log.error("%s", what)
