"""State: everything that is counted, behind one primitive."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from aiogate.claims import Claim, Grant, Shortage

__all__ = ["State"]


class State(Protocol):
    """Counters that many exchanges take from at once; ``memory://`` and ``redis://`` are two of them."""

    async def acquire(self, claims: Sequence[Claim]) -> Grant | Shortage:
        """Take all claims in one atomic step, or none of them.

        Raises ``StateError`` when the counters cannot be reached.
        """
        ...

    async def settle(self, grant: Grant, actual: Mapping[str, int] | None = None) -> None:
        """Give leases back and put real amounts in the place of estimated ones, by claim name.

        Idempotent: a grant that was settled, has expired or was never given is left alone.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; nothing can be acquired after it."""
        ...
