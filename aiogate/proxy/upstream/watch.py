"""One coarse timer for all connections to agents.

A timer of its own for each of them would cost more than the request that it watches over, and a look at all of them ten
times a second would hold up every chunk: of 5,000 streams for 4 ms. So each says when it wants to be looked at again,
and what is due is looked at a few at a time. Knows no timeouts itself.
"""

import asyncio
from math import ceil
from typing import Final, Protocol

__all__ = ["Watch", "Watched"]

_PERIOD_SECONDS: Final = 0.1
"""How late a timeout may be noticed."""
_LOOKS_AT_ONCE: Final = 128
_PAUSE_SECONDS: Final = 0.002
"""For how long chunks pass between so many looks."""
_LONGEST_SECONDS: Final = 10.0


class Watched(Protocol):
    """What has deadlines of its own. ``waits_in`` is for the watch alone, and None to begin with."""

    waits_in: "set[Watched] | None"

    def check(self, now: float) -> float:
        """Do what is due at ``now``, in the loop's time; return when to look again at the latest."""
        ...


class Watch:
    """Looks at what was added until it is discarded, from its making on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[int, set[Watched]] = {}
        self._due: set[Watched] = set()
        self._timer = loop.call_later(_PERIOD_SECONDS, self._tick)

    def add(self, watched: Watched) -> None:
        """Look at it with the next tick, and then when it says."""
        self._keep(watched, self._loop.time())

    def discard(self, watched: Watched) -> None:
        """Look at it no more."""
        if watched.waits_in is not None:
            watched.waits_in.discard(watched)
            watched.waits_in = None

    @property
    def watched(self) -> set[Watched]:
        """What is looked at, now or later."""
        return self._due.union(*self._waiting.values())

    def close(self) -> None:
        """Stop looking."""
        for watched in self.watched:
            self.discard(watched)
        self._timer.cancel()

    def _keep(self, watched: Watched, until: float) -> None:
        waiting = watched.waits_in = self._waiting.setdefault(ceil(until / _PERIOD_SECONDS), set())
        waiting.add(watched)

    def _tick(self) -> None:
        now = self._loop.time()
        latest = int(now / _PERIOD_SECONDS)
        for slot in [slot for slot in self._waiting if slot <= latest]:
            for watched in self._waiting.pop(slot):
                self._due.add(watched)
                watched.waits_in = self._due
        self._look(now + _PERIOD_SECONDS)

    def _look(self, next_tick: float) -> None:
        """Look at some of what is due, and at the rest when the chunks that have come meanwhile have passed."""
        now, due = self._loop.time(), self._due
        for _ in range(min(_LOOKS_AT_ONCE, len(due))):
            if not due:  # one look may end another's wait
                break
            watched = due.pop()
            again = watched.check(now)
            if watched.waits_in is due:  # it has not left
                self._keep(watched, min(again, now + _LONGEST_SECONDS))
        if due:
            self._timer = self._loop.call_later(_PAUSE_SECONDS, self._look, next_tick)
        else:
            self._timer = self._loop.call_at(max(next_tick, now), self._tick)
