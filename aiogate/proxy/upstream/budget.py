"""How many of an agent's requests may be retries: a share, so that retries never become a storm.

Pure: the time is an argument, in seconds of a monotonic clock. Knows nothing of why anything is retried.
"""

from collections import deque
from typing import Final

import attrs

__all__ = ["Budget"]

_SHARE: Final = 0.2
_SECONDS: Final = 10
_LEAST: Final = 3
"""So many retries an agent may have in a window however few requests it gets: a fifth of one request is no retry."""


@attrs.define
class Budget:
    """Counts the requests and the retries of one agent in the last ten seconds, second by second."""

    taken: int = 0
    """All retries that there ever were."""
    _requests: int = 0
    _retries: int = 0
    _slots: deque[list[int]] = attrs.field(factory=deque)
    """Second, requests, retries; oldest first."""

    def requested(self, now: float) -> None:
        """Count a request, however many attempts it takes."""
        self._slot(now)[1] += 1
        self._requests += 1

    def take(self, now: float) -> bool:
        """Take a retry, if there is one left."""
        slot = self._slot(now)
        if self._retries + 1 > max(_LEAST, _SHARE * self._requests):
            return False
        slot[2] += 1
        self._retries += 1
        self.taken += 1
        return True

    def _slot(self, now: float) -> list[int]:
        second, slots = int(now), self._slots
        while slots and slots[0][0] <= second - _SECONDS:
            _, requests, retries = slots.popleft()
            self._requests -= requests
            self._retries -= retries
        if not slots or slots[-1][0] != second:
            slots.append([second, 0, 0])
        return slots[-1]
