"""``memory://``: counters in this process's own memory, for a gateway with one worker.

Knows nothing of exchanges or plugins; whoever needs the counters elsewhere takes ``redis://``.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final, Protocol

import attrs

from aiogate.claims import Claim, Counted, Grant, Quota, Shortage, Standing
from aiogate.errors import StateError
from aiogate.exchange import Clock
from aiogate.state.period import Hold, PeriodCounter

__all__ = ["MemoryState"]

_MOST_SLOTS: Final = 1024
_LEASE_RETRY_SECONDS: Final = 1.0
_SWEPT_AT_ONCE: Final = 2
_LOOKS_TOGETHER: Final = 32
_made: Final = tuple.__new__
"""Makes a named tuple of all its facts, in half the time; for those that every exchange has."""


@attrs.define(eq=False)
class _Slot:
    """What a window admitted from ``opened`` on; its last admission leaves the window at ``expiry``."""

    opened: float
    expiry: float
    amount: int


class _Counter(Protocol):
    """What windows, leases and periods have in common. ``used`` is how much of the limit is taken."""

    used: int

    def reserve(self, claim: Claim, now: float) -> bool:
        """Add the claim to ``used``, which no longer holds what has passed; tell whether that fits."""

    def record(self, claim: Claim, now: float) -> _Slot | Hold | None:
        """Write down a claim that was reserved; return what ``settle`` needs of it."""

    def settle(self, claim: Claim, slot: Any, actual: int | None, now: float) -> None:  # noqa: ANN401 - what its own ``record`` gave
        """Put the real amount in the place of the claimed one, or take a lease back."""

    def wait_seconds(self, excess: int, now: float) -> float:
        """Return how long it takes until ``used`` has gone down by ``excess``; 0.0 when that is nothing."""

    def idle(self, now: float) -> bool:
        """Tell whether the counter is as good as new."""


@attrs.define(eq=False)
class _Window:
    """A sliding window: the log of what it admitted, oldest first; ``used`` is the sum of the log."""

    used: int = 0
    log: deque[_Slot] = attrs.field(factory=deque)

    def reserve(self, claim: Claim, now: float) -> bool:
        log = self.log
        while log and log[0].expiry <= now:
            self.used -= log.popleft().amount
        self.used = used = self.used + claim.amount
        return used <= claim.limit

    def record(self, claim: Claim, now: float) -> _Slot:
        log, seconds = self.log, claim.seconds
        if claim.limit > _MOST_SLOTS and log and now - (slot := log[-1]).opened < seconds / _MOST_SLOTS:
            slot.expiry = now + seconds
            slot.amount += claim.amount
            return slot
        if len(log) > 2 * _MOST_SLOTS:
            log = self._drop_empty_slots()
        slot = _Slot(now, now + seconds, claim.amount)
        log.append(slot)
        return slot

    def _drop_empty_slots(self) -> deque[_Slot]:
        """Forget claims that were settled at nothing: however many they are, the log stays short."""
        self.log = deque(slot for slot in self.log if slot.amount)
        return self.log

    def settle(self, claim: Claim, slot: _Slot | None, actual: int | None, now: float) -> None:
        if slot is None or actual is None or slot.expiry <= now:
            return
        more = max(0, actual) - claim.amount
        slot.amount += more
        self.used += more

    def wait_seconds(self, excess: int, now: float) -> float:
        for slot in self.log:
            excess -= slot.amount
            if excess <= 0:
                return slot.expiry - now
        return 0.0

    def idle(self, now: float) -> bool:
        return not self.log or self.log[-1].expiry <= now


@attrs.define(eq=False)
class _Lease:
    """How much of a lease is held. It does not expire: its holders and this process die together."""

    used: int = 0

    def reserve(self, claim: Claim, _now: float) -> bool:
        self.used += claim.amount
        return self.used <= claim.limit

    def record(self, claim: Claim, now: float) -> None:
        pass

    def settle(self, claim: Claim, _slot: _Slot | None, _actual: int | None, _now: float) -> None:
        self.used -= claim.amount

    def wait_seconds(self, excess: int, _now: float) -> float:
        return _LEASE_RETRY_SECONDS if excess > 0 else 0.0

    def idle(self, _now: float) -> bool:
        return not self.used


_Wanted = list[tuple[Claim, _Counter]]
_Held = list[tuple[Claim, _Counter, _Slot | Hold | None]]


class MemoryState:
    """The counters of one event loop.

    The methods are coroutines for the sake of ``State`` alone: none of them awaits, so each runs from its first line to
    its last before the loop turns to another exchange, and that is what makes them atomic.

    Windows are sliding logs and exact. For a limit over 1,024 the log is kept in slots of a 1,024th of the window, each
    counted until its *last* admission has left: what it holds may count up to 0.1 % longer, never shorter.

    Counters that nobody uses go away: for each acquire two of them are looked at, and two more for each one that it
    creates, some 32 at a time, so there are never long pauses and never many more counters than are in use.
    """

    degraded: Final[str | None] = None
    """Nothing here can be away."""
    gateways: Final = 1
    losses: Final = 0

    def __init__(self, clock: Clock) -> None:
        """Start with every counter untouched."""
        self._monotonic = clock.monotonic
        self._wall = clock.wall
        self._counters: dict[str, _Counter] = {}
        self._ring: deque[tuple[str, _Counter]] = deque()
        self._open: dict[int, _Held] = {}
        self._ids = count(1)
        self._looks_due = 0
        self._closed = False

    @property
    def open_grants(self) -> int:
        """How many grants are not settled."""
        return len(self._open)

    async def acquire(self, claims: Sequence[Claim]) -> Grant | Shortage:
        """Take all claims, or none of them and say when they fit; raises ``StateError`` once closed."""
        return self.take(claims)

    def take(self, claims: Sequence[Claim]) -> Grant | Shortage:
        """Do what ``acquire`` does, for who knows that there is nothing to wait for."""
        if self._closed:
            msg = "the counters in memory are closed"
            raise StateError(msg)
        now = self._monotonic()
        counters = self._counters
        wanted = []
        fits = True
        for claim in claims:
            counter = counters.get(claim.counter) or self._new_counter(claim)
            if claim.least is not None and isinstance(counter, PeriodCounter):
                claim = counter.cut(claim, claim.least, now)  # noqa: PLW2901 - the claim as it is taken
            wanted.append((claim, counter))
            if not counter.reserve(claim, now):
                fits = False
        decision = self._grant(wanted, now) if fits else _shortage(wanted, now)
        self._looks_due += _SWEPT_AT_ONCE
        if self._looks_due >= _LOOKS_TOGETHER:
            self._sweep(now)
        return decision

    async def extend(self, grant: Grant, claims: Sequence[Claim]) -> Grant | Shortage | None:
        """Take more of periods that the grant holds; raises ``ValueError`` for a counter that it does not."""
        held = self._open.get(grant.id)
        if held is None:
            return None
        now = self._monotonic()
        growing = [(claim, *_held_of(held, claim.counter)) for claim in claims]
        wanted: _Wanted = [(counter.missing(claim, hold, now), counter) for claim, counter, hold in growing]
        fits = [counter.reserve(claim, now) for claim, counter in wanted]  # all of them, to be taken back
        if not all(fits):
            return _shortage(wanted, now)
        for claim, counter, hold in growing:
            counter.grow(claim, hold, now)
        return Grant(grant.id, tuple(_left(claim, counter, now) for claim, counter, _ in growing))

    async def settle(self, grant: Grant, actual: Mapping[str, int] | None = None) -> None:
        """Give leases back and correct the rest by claim name; a grant that is not open is left alone."""
        now = self._monotonic()
        for claim, counter, slot in self._open.pop(grant.id, ()):
            counter.settle(claim, slot, actual.get(claim.name) if actual else None, now)

    async def resume(self, claims: Sequence[Claim]) -> None:
        """Begin counters of periods at the claims' amounts, where nobody has taken from them."""
        for claim in claims:
            if claim.counter not in self._counters:
                counter = self._new_counter(claim)
                counter.settle(claim, Hold(0, 0.0), claim.amount, 0.0)

    async def make_up(self, claims: Sequence[Claim]) -> None:
        """Let counters of periods have spent the claims' amounts at least."""
        for claim in claims:
            counter = self._counters.get(claim.counter) or self._new_counter(claim)
            if isinstance(counter, PeriodCounter):
                counter.settle(claim, Hold(0, 0.0), max(0, claim.amount - counter.spent), 0.0)

    async def standings(
        self,
        counters: Sequence[str],
        *,
        age_seconds: float | None = 0.0,  # noqa: ARG002 - here all is known
    ) -> Sequence[Standing]:
        """Return how counters of periods stand."""
        now = self._monotonic()
        found = (self._counters.get(counter) for counter in counters)
        return [one.standing(now) if isinstance(one, PeriodCounter) else Standing(0, 0) for one in found]

    async def close(self) -> None:
        """Forget everything; nothing can be acquired after it."""
        self._closed = True
        self._counters.clear()
        self._ring.clear()
        self._open.clear()

    def _grant(self, wanted: _Wanted, now: float) -> Grant:
        held = []
        quotas = []
        for claim, counter in wanted:
            held.append((claim, counter, counter.record(claim, now)))
            if claim.period is None:
                facts = claim, claim.limit - counter.used, counter.wait_seconds(1, now), 0, 0
                quotas.append(_made(Quota, facts))
            else:
                quotas.append(_left(claim, counter, now))
        grant_id = next(self._ids)
        self._open[grant_id] = held
        return _made(Grant, (grant_id, tuple(quotas), False))

    def _new_counter(self, claim: Claim) -> _Counter:
        counter: _Counter
        if claim.period is not None:
            counter = PeriodCounter(self._wall, claim.period.ends)
        else:
            counter = _Lease() if claim.kind is Counted.LEASE else _Window()
        self._counters[claim.counter] = counter
        self._ring.append((claim.counter, counter))
        self._looks_due += _SWEPT_AT_ONCE
        return counter

    def _sweep(self, now: float) -> None:
        ring = self._ring
        for _ in range(min(self._looks_due, len(ring))):
            seen = ring.popleft()
            if seen[1].idle(now):
                del self._counters[seen[0]]
            else:
                ring.append(seen)
        self._looks_due = 0


def _held_of(held: _Held, counter_id: str) -> tuple[PeriodCounter, Hold]:
    for claim, counter, hold in held:
        if claim.counter == counter_id and isinstance(counter, PeriodCounter) and isinstance(hold, Hold):
            return counter, hold
    msg = f"the grant holds nothing of a period's counter {counter_id!r}"
    raise ValueError(msg)


def _left(claim: Claim, counter: _Counter, now: float) -> Quota:
    """Return what is left of a period after a claim was granted."""
    standing = counter.standing(now) if isinstance(counter, PeriodCounter) else ()
    return Quota(claim, claim.limit - counter.used, counter.wait_seconds(1, now), *standing)


def _shortage(wanted: _Wanted, now: float) -> Shortage:
    """Take back what was reserved, and say which claim fits last, and when."""
    for claim, counter in wanted:
        counter.used -= claim.amount
    amounts = dict.fromkeys((claim.counter for claim, _ in wanted), 0)
    waits = []
    for claim, counter in wanted:
        amounts[claim.counter] += claim.amount
        waits.append(_wait(claim, counter, amounts[claim.counter], now))
    last = max(range(len(waits)), key=waits.__getitem__)
    retry_after_seconds = max(seconds for _, seconds in waits)
    quotas = [_quota(claim, counter, retry_after_seconds, now) for claim, counter in wanted]
    return Shortage(wanted[last][0], retry_after_seconds, tuple(quotas))


def _wait(claim: Claim, counter: _Counter, wanted: int, now: float) -> tuple[bool, float]:
    """Return whether ``wanted`` never fits, and when to come back for it."""
    never = wanted > claim.limit
    if never and claim.kind is Counted.WINDOW:
        return never, claim.seconds
    excess = counter.used + wanted - claim.limit
    return never, counter.wait_seconds(excess, now) if excess > 0 else 0.0


def _quota(claim: Claim, counter: _Counter, latest_seconds: float, now: float) -> Quota:
    """Return what is left of a counter, with a reset not later than ``latest_seconds``."""
    left = claim.limit - counter.used
    reset_seconds = counter.wait_seconds(max(1, 1 - left), now) if counter.used else 0.0
    standing = counter.standing(now) if isinstance(counter, PeriodCounter) else ()
    return Quota(claim, max(0, left), min(reset_seconds, latest_seconds), *standing)
