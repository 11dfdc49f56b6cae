"""Where a reader of events is: the ids of Server-Sent Events, and what ``Last-Event-ID`` brings back.

A number counts the events of one process, its epoch tells it from every other process, those before it included. The
place in a stream that several processes share is one number for each: ``3f2a91c0-1042.b7710d4e-77``. What stands here
is pure: of sockets and rings it knows nothing.
"""

import re
from collections.abc import Mapping
from typing import Final, Self

import attrs

__all__ = ["Position"]

_ONE: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")
_MOST_PROCESSES: Final = 256
"""More than a machine has workers; what says more is nobody's id."""


@attrs.frozen
class Position:
    """How many events a reader has had of each process, by its epoch."""

    seen: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what an id says; None for what is none, as if nobody had said anything."""
        parts = text.split(".", _MOST_PROCESSES)
        found = [_ONE.fullmatch(part) for part in parts]
        if len(parts) > _MOST_PROCESSES or not all(found):
            return None
        return cls({match[1]: int(match[2]) for match in found if match})

    def __str__(self) -> str:
        """Return the id."""
        return ".".join(f"{epoch}-{number}" for epoch, number in self.seen.items())

    def at_least(self, other: "Position") -> Self:
        """Return where a reader is who has been here and there, of one process or of several."""
        further = {epoch: max(number, self.seen.get(epoch, 0)) for epoch, number in other.seen.items()}
        return type(self)({**self.seen, **further})
