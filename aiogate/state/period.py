"""A calendar period's counter in memory: what is spent of a budget, and what is held for exchanges under way.

For ``MemoryState``. Knows nothing of calendars: a claim says when its period ends.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import attrs

from aiogate.claims import Claim, Standing

__all__ = ["Hold", "PeriodCounter"]

_HELD_RETRY_SECONDS: Final = 1.0
_LATE_SECONDS: Final = 3600.0
"""For so long a period that is over is remembered: exchanges that began in it may still claim."""


@attrs.define(eq=False)
class Hold:
    """What one grant holds for one claim until ``expiry``; then it is free again, and what was used still spent."""

    amount: int
    expiry: float


@attrs.define(eq=False)
class PeriodCounter:
    """What is spent and held in one period; ``used`` is both."""

    _wall: Callable[[], float]
    ends: float
    used: int = 0
    spent: int = 0
    _holds: OrderedDict[int, Hold] = attrs.field(factory=OrderedDict)
    """By identity, the one that expires first first, as all of one counter live equally long."""

    def reserve(self, claim: Claim, now: float) -> bool:
        """Add the claim to ``used``; tell whether that fits."""
        self._drop_expired(now)
        self.used += claim.amount
        return self.used <= claim.limit

    def cut(self, claim: Claim, least: int, now: float) -> Claim:
        """Return the claim with what is left where that is less than its amount, and not less than ``least``."""
        self._drop_expired(now)
        amount = max(least, min(claim.amount, claim.limit - self.used))
        return claim if amount == claim.amount else attrs.evolve(claim, amount=amount)

    def record(self, claim: Claim, now: float) -> Hold:
        """Hold what was reserved."""
        hold = Hold(claim.amount, now + claim.seconds)
        self._holds[id(hold)] = hold
        return hold

    def missing(self, claim: Claim, hold: Hold, now: float) -> Claim:
        """Return the claim that makes a hold grow by ``claim``: with all of it, where it has expired."""
        self._drop_expired(now)
        return claim if id(hold) in self._holds else attrs.evolve(claim, amount=claim.amount + hold.amount)

    def grow(self, claim: Claim, hold: Hold, now: float) -> None:
        """Hold more, which was reserved, for longer."""
        hold.amount += claim.amount
        hold.expiry = now + claim.seconds
        self._holds[id(hold)] = hold
        self._holds.move_to_end(id(hold))

    def settle(self, _claim: Claim, hold: Hold, actual: int | None, _now: float) -> None:
        """Spend the real amount in the place of what is held."""
        if self._holds.pop(id(hold), None) is not None:
            self.used -= hold.amount
        real = hold.amount if actual is None else max(0, actual)
        self.spent += real
        self.used += real

    def wait_seconds(self, excess: int, _now: float) -> float:
        """Return how long it takes until ``used`` may be lower by ``excess``: not long where it is only held."""
        if excess <= 0:
            return 0.0
        return _HELD_RETRY_SECONDS if excess <= self.used - self.spent else max(0.0, self.ends - self._wall())

    def idle(self, now: float) -> bool:
        """Tell whether the period is over for everybody."""
        self._drop_expired(now)
        return not self._holds and self._wall() >= self.ends + _LATE_SECONDS

    def standing(self, now: float) -> Standing:
        """Return what is spent and what is held."""
        self._drop_expired(now)
        return Standing(self.spent, self.used - self.spent)

    def _drop_expired(self, now: float) -> None:
        holds = self._holds
        while holds and (hold := next(iter(holds.values()))).expiry <= now:
            del holds[id(hold)]
            self.used -= hold.amount
