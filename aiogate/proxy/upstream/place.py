"""One endpoint of an agent as a place where a request may go: how busy it is, and whether it is set aside.

A pure state machine; ``now`` and ``began`` are seconds of one monotonic clock. Knows no sockets.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import attrs

from aiogate.proxy.upstream.endpoint import Endpoint

__all__ = ["Condition", "Place"]

_FIRST_SECONDS: Final = 1.0
_MOST_SECONDS: Final = 30.0
_MOST_DOUBLINGS: Final = 16
_MOST_ASKED_SECONDS: Final = 300.0
_JITTER: Final = 0.2


class Condition(StrEnum):
    """How a place is."""

    WELL = "well"
    ASIDE = "aside"
    """It has failed, and gets nothing for a while."""
    TRIAL = "trial"
    """It has failed, and gets one request to show whether it is back."""
    DOWN = "down"
    """The last probe has failed."""


@attrs.define(eq=False)
class Place:
    """Where a request may go.

    A failure sets it aside, for a second and then twice as long each time, up to 30; a fifth of it, at most, is taken
    off at random. After that one request at a time goes there until one has succeeded. What was sent before it was set
    aside says nothing new: fifty requests that one crash has ended are one failure.
    """

    endpoint: Endpoint
    random: Callable[[], float]
    pending: int = 0
    failures: int = 0
    """In a row."""
    is_down: bool = False
    _until: float = -math.inf
    _asked_until: float = -math.inf
    _since: float = -math.inf
    _was_reached: bool = True

    def condition(self, now: float) -> Condition:
        """Return how it is now."""
        if self.is_down:
            return Condition.DOWN
        if now < self._until:
            return Condition.ASIDE
        return Condition.TRIAL if self.failures else Condition.WELL

    def may_serve(self, now: float) -> bool:
        """Tell whether there is no reason to take another one."""
        return not self.is_down and now >= self._until and (not self.failures or not self.pending)

    def wait_seconds(self, now: float) -> float:
        """Return for how long it has asked to be left alone."""
        return max(0.0, self._asked_until - now)

    @property
    def badness(self) -> tuple[bool, float]:
        """How little there is to hope for; the least comes first."""
        return self.is_down, self._until

    def failed(self, now: float, began: float, asked_seconds: float = 0.0, *, reached: bool = True) -> None:
        """Set it aside. ``asked_seconds``: its ``Retry-After``; ``reached``: there was a connection."""
        if asked_seconds > 0:
            self._asked_until = max(self._asked_until, now + min(asked_seconds, _MOST_ASKED_SECONDS))
            self._until = max(self._until, self._asked_until)
        if began < self._since:
            return
        length = min(_FIRST_SECONDS * 2 ** min(self.failures, _MOST_DOUBLINGS), _MOST_SECONDS)
        self.failures += 1
        self._until = max(self._until, now + length * (1.0 - _JITTER * self.random()))
        self._since = now
        self._was_reached = reached

    def succeeded(self, began: float) -> None:
        """Forget its failures, unless what has succeeded was sent before the last of them."""
        if self.failures and began >= self._since:
            self._recover()

    def probed(self, *, well: bool) -> None:
        """Take note of a probe. One that fails takes it out until one succeeds.

        One that succeeds also ends the time aside of one that could not be reached; of one that answered with errors
        it says little.
        """
        self.is_down = not well
        if well and not self._was_reached:
            self._recover()

    def figures(self, now: float) -> dict[str, Any]:
        """Return what an operator wants to know of it."""
        return {
            "endpoint": self.endpoint.name,
            "state": self.condition(now),
            "pending": self.pending,
            "failures": self.failures,
            "aside_seconds": round(max(0.0, self._until - now), 3),
        }

    def _recover(self) -> None:
        self.failures = 0
        self._until = self._asked_until = -math.inf
        self._was_reached = True
