"""The configs that were pushed to a store, one generation after the other; for the command line and for gateways.

A topic of the board has them: what is there is published, the highest number is the one in force. Secrets are not in
them but references, which each gateway resolves by itself. Knows nothing of what a config means.
"""

import zlib
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
import orjson

from aiogate.board import Topic
from aiogate.errors import AiogateError

__all__ = ["CONFIG_TOPIC", "MOST_BYTES", "MOST_GENERATIONS", "REPORTS_TOPIC", "Configs", "Pushed", "plain"]

CONFIG_TOPIC: Final = "config"
"""A ``Pushed`` by its number."""
REPORTS_TOPIC: Final = "config-reports"
"""What has come of the current one on each gateway, by the gateway's name; who says nothing for a while has gone."""
MOST_GENERATIONS: Final = 50
"""So many are kept; older ones go as new ones come."""
MOST_BYTES: Final = 1024 * 1024
"""All files of one together, before they are compressed."""
_DIGITS: Final = 10
_FIRST: Final = 1


@attrs.frozen(kw_only=True)
class Pushed:
    """One generation.

    Args:
        number: its place in the history, from 1 on.
        at: when it was pushed, in wall seconds.
        actor: who did it.
        message: why.
        files: the texts by name, as they were below the folder of the config; the config itself is the first.
        of: the number of an older one that this one brings back; None: it is new.
    """

    number: int
    at: float
    actor: str
    message: str
    files: Mapping[str, str] = attrs.field(hash=False)
    of: int | None = None

    @property
    def main(self) -> str:
        """The name of the config itself."""
        return next(iter(self.files))

    @property
    def text(self) -> str:
        """All of it as one text, to be compared."""
        if len(self.files) == 1:
            return self.files[self.main]
        return "\n".join(f"# file: {name}\n{text}" for name, text in self.files.items())

    def encoded(self) -> bytes:
        """Return the entry of the topic; raises ``AiogateError`` for one that is too large."""
        size = sum(len(text.encode()) for text in self.files.values())
        if size > MOST_BYTES:
            msg = f"the config has {size} bytes; a store takes {MOST_BYTES}"
            raise AiogateError(msg)
        return zlib.compress(orjson.dumps(attrs.asdict(self)))

    @classmethod
    def of_entry(cls, entry: bytes) -> Self:
        """Return the generation of an entry; raises ``ValueError``."""
        opener = zlib.decompressobj()
        try:
            text = opener.decompress(entry, 4 * MOST_BYTES)
            return cls(**orjson.loads(text))
        except (zlib.error, TypeError) as error:
            msg = f"it is of another version of aiogate, or damaged: {error}"
            raise ValueError(msg) from error


@attrs.frozen
class Configs:
    """The history of one store."""

    _topic: Topic

    @property
    def numbers(self) -> list[int]:
        """The numbers that there are, the oldest first."""
        return sorted(int(name) for name in self._topic.entries if name.isdecimal())

    def get(self, number: int) -> Pushed:
        """Return a generation; raises ``AiogateError`` where there is none that can be read."""
        entry = self._topic.entries.get(_name(number))
        if entry is None:
            known = self.numbers
            there = f"there are {known[0]} to {known[-1]}" if known else "none was pushed yet"
            msg = f"there is no generation {number} in the store; {there}"
            raise AiogateError(msg)
        try:
            return Pushed.of_entry(entry)
        except ValueError as error:
            msg = f"generation {number} of the store cannot be read: {error}"
            raise AiogateError(msg) from error

    def current(self) -> Pushed | None:
        """Return the generation that should be in force; None: there is none. Raises as ``get``."""
        numbers = self.numbers
        return self.get(numbers[-1]) if numbers else None

    async def push(self, files: Mapping[str, str], *, at: float, actor: str, message: str, of: int | None) -> Pushed:
        """Publish a generation behind the current one; raises ``AiogateError`` where somebody else was faster."""
        numbers = self.numbers
        number = numbers[-1] + 1 if numbers else _FIRST
        pushed = Pushed(number=number, at=at, actor=actor, message=message, files=files, of=of)
        if not await self._topic.put_new(_name(number), pushed.encoded()):
            msg = f"somebody has pushed generation {number} just now; see aiogate config diff, and push once more"
            raise AiogateError(msg)
        for old in numbers[: max(0, len(numbers) + 1 - MOST_GENERATIONS)]:
            await self._topic.remove(_name(old))
        return pushed


def _name(number: int) -> str:
    return f"{number:0{_DIGITS}d}"


def plain(pushed: Pushed) -> dict[str, Any]:
    """Return what a list says of a generation, for JSON."""
    facts = attrs.asdict(pushed)
    facts["files"] = list(pushed.files)
    return facts
