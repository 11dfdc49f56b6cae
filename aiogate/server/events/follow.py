"""One reader of the events: where it is, what it wants, and what it has lost.

It takes from the ring what has happened since it was here last. Where the ring has gone past it meanwhile it is told so
by a ``gap``, and goes on with what is still there: nobody has ever waited for it.
"""

from typing import Final

import attrs
import orjson

from aiogate.server.events.ids import Position
from aiogate.server.events.ring import Event, Events

__all__ = ["Follower", "Wanted"]

_AT_ONCE: Final = 512
"""So many events are looked at in one go; the loop turns before the next ones."""


@attrs.frozen(kw_only=True)
class Wanted:
    """Which events to give; None: any. ``refused`` are refusals alone."""

    agent: str | None = None
    principal: str | None = None
    kinds: frozenset[str] | None = None
    refused: bool = False

    def __call__(self, event: Event) -> bool:
        """Tell whether an event is wanted."""
        kind, agent, principal, _ = event
        return (
            (self.kinds is None or kind in self.kinds)
            and (not self.refused or kind == "refused")
            and (self.agent is None or agent == self.agent)
            and (self.principal is None or principal == self.principal)
        )


@attrs.define
class Follower:
    """Reads on from a place; without one from now on.

    A place in another process's events is told as a gap of which nobody knows how much is lost, and then everything
    comes that is there: what this process has seen since it began the reader cannot have had.
    """

    _events: Events
    _wanted: Wanted
    _at: int
    _lost: int | None
    _has_gap: bool

    @classmethod
    def of(cls, events: Events, wanted: Wanted, last: Position | None) -> "Follower":
        """Return the reader that has had everything up to ``last``."""
        if last is None:
            return cls(events, wanted, events.count, 0, False)
        if events.epoch not in last.seen:
            return cls(events, wanted, events.oldest, None, True)
        return cls(events, wanted, min(last.seen[events.epoch], events.count), 0, False)

    @property
    def id(self) -> str:
        """The id of the last event that it has had or did not want."""
        return f"{self._events.epoch}-{self._at}"

    def take(self) -> bytes:
        """Return what is new, as Server-Sent Events have it; ``b""``: nothing that is wanted."""
        events, wanted, blocks = self._events, self._wanted, list[bytes]()
        if self._at < events.oldest:
            self._lost = None if self._lost is None else self._lost + events.oldest - self._at
            self._at, self._has_gap = events.oldest, True
        if self._has_gap:
            blocks.append(self._gap())
            self._lost, self._has_gap = 0, False
        end = min(events.count, self._at + _AT_ONCE)
        if end > self._at:
            blocks.append(events.texts(wanted, self._at, end))
        self._at = end
        return b"".join(blocks)

    @property
    def is_behind(self) -> bool:
        """Whether there is more to take at once."""
        return self._at < self._events.count

    def _gap(self) -> bytes:
        data = orjson.dumps({"lost": self._lost})
        return b"id: %b\nevent: gap\ndata: %b\n\n" % (self.id.encode(), data)
