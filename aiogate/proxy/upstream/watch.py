"""One coarse timer for everything that waits for an agent: a look at all of them, ten times a second.

A timer of its own for each of them would cost more than the request that it watches over. Knows no timeouts itself.
"""

import asyncio
from typing import Final, Protocol

__all__ = ["Watch", "Watched"]

_PERIOD_SECONDS: Final = 0.1
"""How late a timeout may be noticed."""


class Watched(Protocol):
    """What has deadlines of its own."""

    def check(self, now: float) -> None:
        """Do what is due at ``now``, in the loop's time; it may leave the watch."""
        ...


class Watch:
    """Looks at what was added until it is discarded, from its making on.

    ``add(watched)`` and ``discard(watched)`` are a set's own: they are called for every request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Watched] = set()
        self.add = self._watched.add
        self.discard = self._watched.discard
        self._timer = loop.call_later(_PERIOD_SECONDS, self._look)

    def close(self) -> None:
        """Stop looking."""
        self._watched.clear()
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        for watched in tuple(self._watched):
            watched.check(now)
        self._timer = self._loop.call_later(_PERIOD_SECONDS, self._look)
