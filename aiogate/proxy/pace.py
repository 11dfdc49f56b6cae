"""How fast a client has to send its request: the whole head, and of a body what somebody waits for.

For the listener and for whoever reads a body. The process's coarse timer looks at what is incomplete, and at nothing
else: a request that comes in one piece costs nothing here. Knows nothing of sockets.
"""

from collections.abc import Callable
from typing import Final, Protocol

import attrs

from aiogate.proxy.upstream.watch import Watch

__all__ = ["Bounds", "Lateness", "Pace"]

_LONGEST_STEP_SECONDS: Final = 1.0
"""A look that comes later than that is late because the gateway was busy, which is not the client's fault."""


class Bounds(Protocol):
    """The times of ``[server]``, which say what they mean there."""

    @property
    def header_seconds(self) -> float:
        """How long a head may take."""
        ...

    @property
    def body_seconds(self) -> float:
        """How long the next piece of a body may take."""
        ...

    @property
    def body_bytes_per_second(self) -> int:
        """What the wait for a body must have brought on an average."""
        ...


@attrs.frozen
class Pace:
    """Who looks at what is incomplete, and the bounds in force; they may change by a reload."""

    watch: Watch
    bounds: Callable[[], Bounds]


@attrs.define
class Lateness:
    """How long one body has been waited for; what an agent or a plugin takes to read it does not count."""

    _looked: float | None = None
    _received: int = 0
    _since_piece: float = 0.0
    _waited: float = 0.0

    def is_late(self, now: float, received: int, bounds: Bounds, *, waits: bool) -> bool:
        """Tell whether the client has been too slow by now; to be asked at every look.

        Args:
            now: in the loop's time.
            received: bytes of the body so far.
            bounds: in force.
            waits: somebody waits for the next piece.
        """
        step = 0.0 if self._looked is None else min(now - self._looked, _LONGEST_STEP_SECONDS)
        self._looked = now
        if not waits or received != self._received:
            self._received = received
            self._since_piece = 0.0
        if waits:
            self._since_piece += step
            self._waited += step
        if self._since_piece >= bounds.body_seconds:
            return True
        return self._waited >= bounds.body_seconds and received < bounds.body_bytes_per_second * self._waited
