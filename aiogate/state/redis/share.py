"""This gateway's share of each counter, for as long as there is no Redis.

Knows what the counters were like when they were last seen; nothing of connections.

The promise of ``local``: with n gateways alive when Redis was last seen, each admits on a window at most an n-th of the
limit in any interval (1 at least), less its part of what was already admitted then; of places that are held at once
likewise; of a period an n-th of what was left, where all that was held counts as spent. Together they admit at most
the limit. Only what a gateway has not seen is beyond that: it knows a counter from when it last took from it, so that
around the moment at which Redis goes away one interval may hold, at worst, an interval before it and one after it.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from aiogate.claims import Claim, Counted, Grant, OnStateError, Quota, Shortage, Standing
from aiogate.errors import StateError
from aiogate.exchange import Clock
from aiogate.state.memory import MemoryState

__all__ = ["Share", "Sight"]

_MOST_SEEN: Final = 10_000


@attrs.define(eq=False)
class Sight:
    """What counters were like when Redis was last asked.

    Args:
        living: how many gateways share them.
        spent: what each period has spent, by counter; it never goes down.
        leases: what this gateway holds of each lease, by counter.
    """

    _monotonic: Callable[[], float]
    living: int = 1
    spent: dict[str, int] = attrs.field(factory=dict)
    leases: Counter[str] = attrs.field(factory=Counter)
    _held: dict[str, int] = attrs.field(factory=dict)
    _ends: dict[str, float] = attrs.field(factory=dict)
    _seen: dict[str, float] = attrs.field(factory=dict)
    _windows: dict[str, tuple[int, float]] = attrs.field(factory=dict)

    def see(self, quota: Quota) -> None:
        """Note what is left of a counter."""
        claim = quota.claim
        if claim.period is not None:
            self.see_spent(claim, quota.spent, quota.held)
        elif claim.kind is Counted.WINDOW:
            if len(self._windows) >= _MOST_SEEN:
                del self._windows[next(iter(self._windows))]
            self._windows[claim.counter] = claim.limit - quota.remaining, self._monotonic()

    def see_spent(self, claim: Claim, spent: int, held: int) -> None:
        """Note what a period has spent, and what is held of it."""
        if spent >= self.spent.get(claim.counter, 0) and claim.period is not None:
            self.spent[claim.counter] = spent
            self._held[claim.counter] = held
            self._ends[claim.counter] = claim.period.ends
            self._seen[claim.counter] = self._monotonic()

    def settled(self, counter: str, more: int) -> None:
        """Note that what is held of a period has become what was used; Redis says so later, and counts it as spent."""
        if counter in self._held:
            self._held[counter] = max(0, self._held[counter] + more)

    def forget(self, wall: float) -> None:
        """Forget the periods that are over."""
        for counter in [counter for counter, ends in self._ends.items() if ends < wall]:
            del self._ends[counter]
            self.spent.pop(counter, None)
            self._held.pop(counter, None)
            self._seen.pop(counter, None)

    def has_seen(self, counters: Sequence[str], age_seconds: float | None) -> bool:
        """Tell whether all of these periods are known, as they were so long ago at most; None: that is well enough."""
        if age_seconds is None:
            return True
        since = self._monotonic() - age_seconds
        return age_seconds > 0 and all(self._seen.get(counter, -math.inf) >= since for counter in counters)

    def standing(self, counter: str) -> Standing:
        """Return what is known of a period."""
        return Standing(self.spent.get(counter, 0), self._held.get(counter, 0))

    @property
    def periods(self) -> Mapping[str, float]:
        """When each period ends that is known, in wall seconds, by counter."""
        return self._ends

    def in_window(self, claim: Claim) -> int:
        """Return how much of a window is taken, as far as that is known."""
        used, at = self._windows.get(claim.counter, (0, 0.0))
        return used if self._monotonic() - at < claim.seconds else 0


class Share:
    """The counters that stand in, each from the first claim on it until Redis is back."""

    def __init__(self, clock: Clock, sight: Sight, default: OnStateError) -> None:
        """Start with what is known; ``default`` is for claims that do not say what to do without the state."""
        self._counters = MemoryState(clock)
        self._sight = sight
        self._default = default
        self._living = max(1, sight.living)
        self._limits: dict[str, int] = {}

    async def acquire(self, claims: Sequence[Claim], why: str) -> Grant | Shortage:
        """Take the share of all claims, or none of them; raises ``StateError`` where a claim wants it so."""
        wanted: dict[str, int] = {}
        places: dict[int, Quota] = {}
        counted: list[int] = []
        for index, claim in enumerate(claims):
            on_error = claim.on_state_error or self._default
            if on_error == "refuse":
                raise StateError(why)
            if on_error == "allow":
                places[index] = Quota(claim, max(0, claim.limit - claim.amount), 0.0)
            elif claim.kind is Counted.LEASE:
                wanted[claim.counter] = wanted.get(claim.counter, 0) + claim.amount
                left = max(1, claim.limit // self._living) - self._sight.leases[claim.counter] - wanted[claim.counter]
                places[index] = Quota(claim, left, 1.0)
            else:
                counted.append(index)
        full = next((quota for quota in places.values() if quota.remaining < 0), None)
        if full is not None:
            quotas = tuple(places.get(index, Quota(claim, 0, 1.0)) for index, claim in enumerate(claims))
            shown = tuple(one._replace(remaining=max(0, one.remaining)) for one in quotas)
            return Shortage(full.claim, 1.0, shown, degraded=True)
        return await self._count(claims, counted, places)

    async def settle(self, grants: Sequence[Grant], actual: Mapping[str, int] | None) -> None:
        """Put the real amounts, which are of all the grants together, in the place of what was claimed."""
        for number, grant in enumerate(grants):
            nothing = {quota.claim.name: 0 for quota in grant.quotas}
            await self._counters.settle(grant, nothing if number else actual)

    async def standings(self, counters: Sequence[str]) -> Sequence[Standing]:
        """Return how periods stand, here or when they were last seen."""
        here = await self._counters.standings(counters)
        return [
            found if counter in self._limits else self._sight.standing(counter)
            for counter, found in zip(counters, here, strict=True)
        ]

    async def _count(self, claims: Sequence[Claim], counted: list[int], places: dict[int, Quota]) -> Grant | Shortage:
        ours = [await self._part(claims[index]) for index in counted]
        decision = await self._counters.acquire(ours)
        for index, quota in zip(counted, decision.quotas, strict=True):
            claim, taken = claims[index], quota.claim.amount
            places[index] = quota._replace(claim=claim if taken == claim.amount else attrs.evolve(claim, amount=taken))
        quotas = tuple(places[index] for index in range(len(claims)))
        if isinstance(decision, Grant):
            return Grant(decision.id, quotas, degraded=True)
        last = next(index for index, one in zip(counted, decision.quotas, strict=True) if one.claim is decision.claim)
        return Shortage(places[last].claim, decision.retry_after_seconds, quotas, degraded=True)

    async def _part(self, claim: Claim) -> Claim:
        """Return the claim on this gateway's part of its counter, which begins with what was seen."""
        limit = self._limits.get(claim.counter)
        if limit is None:
            begin = self._begin_period if claim.kind is Counted.PERIOD else self._begin_window
            limit = self._limits[claim.counter] = await begin(claim)
        return attrs.evolve(claim, limit=limit)

    async def _begin_window(self, claim: Claim) -> int:
        limit = max(1, claim.limit // self._living)
        left = max(0, claim.limit - self._sight.in_window(claim)) // self._living
        if left < limit:
            await self._counters.acquire([attrs.evolve(claim, limit=limit, amount=limit - left)])
        return limit

    async def _begin_period(self, claim: Claim) -> int:
        spent, held = self._sight.standing(claim.counter)
        await self._counters.resume([attrs.evolve(claim, amount=spent + held)])
        return spent + held + max(0, claim.limit - spent - held) // self._living
