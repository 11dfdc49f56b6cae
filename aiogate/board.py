"""The board: small facts that every gateway knows within a second, read from memory without I/O.

The nouns of ``Gateway.board``; knows nothing of how they are kept, nor of what is put there.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

__all__ = ["MOST_BYTES", "Board", "Hear", "Topic"]

Hear = Callable[[str, bytes | None], None]
"""Is told of a change: the key, and its value or None where it has gone."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""An entry's value is never longer."""


class Topic(Protocol):
    """What is known of one subject. One loop reads and changes it."""

    @property
    def entries(self) -> Mapping[str, bytes]:
        """What is known now. It is in memory: looking costs nothing, and it stays as it was while Redis is away."""
        ...

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        ...

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """Have an entry known everywhere, for so long; it goes by itself then. None: for ever.

        When this returns it is known here; elsewhere within a second. Raises ``StateError`` where Redis cannot be
        asked: it may then be known or not.
        """
        ...

    async def put_new(self, key: str, value: bytes, *, seconds: float | None = None) -> bool:
        """Put an entry if there is none of that key, and tell whether it was put: of all who try one succeeds."""
        ...

    async def remove(self, key: str, *, only: bytes | None = None) -> None:
        """Take an entry away, everywhere; with ``only``, if that is still its value. Raises as ``put`` does."""
        ...

    def age_seconds(self, key: str) -> float:
        """Return how long ago an entry was put, by the clock of who keeps it for all; 0.0 where there is none."""
        ...

    def on_change(self, hear: Hear) -> Callable[[], None]:
        """Have every change heard, in the loop, one's own too; what is returned ends that.

        Where a connection was lost, what is heard afterwards is what has become of it all, not each step on the way.
        """
        ...


class Board(Protocol):
    """All topics."""

    @property
    def is_shared(self) -> bool:
        """Whether other gateways see it; False: this process is alone."""
        ...

    @property
    def degraded(self) -> str | None:
        """Why what is known here may be old, or changes cannot be made; None: it is what all others know."""
        ...

    def topic(self, name: str) -> Topic:
        """Return a subject by its name, small letters, digits and any of ``_.-``; the same one each time."""
        ...

    async def close(self) -> None:
        """Take no more changes; what is known stays readable."""
        ...
