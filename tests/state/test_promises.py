"""Every state against a model that is too simple to be wrong, with callers, times and settlements at random."""

import asyncio
from collections.abc import Sequence
from unittest.mock import patch

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiogate.claims import Claim, Counted, Grant, Shortage
from aiogate.state import memory
from aiogate.state.memory import MemoryState
from tests.state.factories import STATES, MakeState, redis_state_in_four_slots
from tests.state.ticking import Ticking, a_lease, a_window

COUNTERS = (
    a_window("burst", limit=3, seconds=1.0),
    a_window("minute", limit=7, seconds=4.0),
    a_window("day", limit=40, seconds=32.0),
    a_lease("streams", limit=2),
    a_lease("sessions", limit=5),
)
EIGHTHS = st.integers(0, 40).map(lambda eighths: eighths / 8)
CLAIMS = st.lists(
    st.builds(lambda claim, amount: attrs.evolve(claim, amount=amount), st.sampled_from(COUNTERS), st.integers(1, 4)),
    min_size=1,
    max_size=4,
)


@attrs.define
class Step:
    """Some seconds pass, callers come at once, then grants are settled: the number of each with its real amount."""

    seconds: float
    callers: list[list[Claim]]
    settlements: list[tuple[int, int | None]]


STEPS = st.lists(
    st.builds(
        Step,
        EIGHTHS,
        st.lists(CLAIMS, max_size=5),
        st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 12)), max_size=3),
    ),
    max_size=20,
)


@attrs.define(eq=False)
class Taken:
    """What one claim took."""

    claim: Claim
    at: float
    amount: int

    def counts(self, now: float) -> bool:
        return self.claim.kind is Counted.LEASE or now < self.at + self.claim.seconds


@attrs.define
class Model:
    """Everything that was ever granted, counted anew each time."""

    taken: list[Taken] = attrs.field(factory=list)
    open: dict[int, list[Taken]] = attrs.field(factory=dict)

    def used(self, counter: str, now: float) -> int:
        return sum(taken.amount for taken in self.taken if taken.claim.counter == counter and taken.counts(now))

    def fits(self, claim: Claim, wanted: int, now: float) -> bool:
        return self.used(claim.counter, now) + wanted <= claim.limit

    def wait(self, claim: Claim, wanted: int, now: float) -> tuple[bool, float]:
        """Return whether ``wanted`` never fits on the claim's counter, and how long to wait."""
        never = wanted > claim.limit
        if claim.kind is Counted.LEASE:
            return never, 0.0 if self.fits(claim, wanted, now) else 1.0
        if never:
            return never, claim.seconds
        ends = sorted({now, *(taken.at + taken.claim.seconds for taken in self.taken)})
        return never, next(end - now for end in ends if end >= now and self.fits(claim, wanted, end))

    def waits(self, claims: Sequence[Claim], now: float) -> dict[str, tuple[bool, float]]:
        """Return ``wait`` for each counter that the claims are on."""
        wanted: dict[str, int] = {}
        for claim in claims:
            wanted[claim.counter] = wanted.get(claim.counter, 0) + claim.amount
        return {claim.counter: self.wait(claim, wanted[claim.counter], now) for claim in claims}

    def take(self, grant: Grant, claims: Sequence[Claim], now: float) -> None:
        self.open[grant.id] = [Taken(claim, now, claim.amount) for claim in claims]
        self.taken += self.open[grant.id]

    def settle(self, grant: Grant, actual: int | None, now: float) -> None:
        for taken in self.open.pop(grant.id, []):
            if taken.claim.kind is Counted.LEASE:
                self.taken.remove(taken)
            elif actual is not None and taken.counts(now):
                taken.amount = actual


def check(decision: Grant | Shortage, claims: Sequence[Claim], model: Model, now: float) -> None:
    """Compare a decision with the model, which then takes what was granted."""
    waits = model.waits(claims, now)
    longest = max(seconds for _, seconds in waits.values())
    assert isinstance(decision, Grant) == (longest == 0.0)
    if isinstance(decision, Grant):
        model.take(decision, claims, now)
    else:
        assert decision.retry_after_seconds == longest
        assert waits[decision.claim.counter] == max(waits.values())
        assert all(quota.reset_seconds <= longest for quota in decision.quotas)
    assert [quota.claim for quota in decision.quotas] == list(claims)
    for quota in decision.quotas:
        used = model.used(quota.claim.counter, now)
        assert quota.remaining == max(0, quota.claim.limit - used)
        assert (quota.reset_seconds > 0) == (used > 0)


async def walk(make: MakeState, steps: list[Step]) -> None:
    ticking, model = Ticking(), Model()
    state = make(ticking.clock())
    grants: list[Grant] = []
    for step in steps:
        ticking.now += step.seconds
        decisions = await asyncio.gather(*(state.acquire(claims) for claims in step.callers))
        for claims, decision in zip(step.callers, decisions, strict=True):
            check(decision, claims, model, ticking.now)
        grants += [decision for decision in decisions if isinstance(decision, Grant)]
        for number, actual in step.settlements:
            if number < len(grants):
                names = dict.fromkeys((claim.name for claim in COUNTERS), actual)
                await state.settle(grants[number], None if actual is None else names)
                model.settle(grants[number], actual, ticking.now)
    await state.close()


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
@settings(deadline=None)  # a real server answers
@given(STEPS)
def test_every_decision_is_what_counting_everything_anew_would_say(make: MakeState, steps: list[Step]) -> None:
    asyncio.run(walk(make, steps))


ARRIVALS = st.lists(st.tuples(EIGHTHS, st.integers(1, 6)), max_size=60)


@attrs.define
class History:
    """What one window admitted, and when."""

    claim: Claim
    admitted: list[tuple[float, int]] = attrs.field(factory=list)

    def between(self, start: float, end: float) -> int:
        return sum(amount for at, amount in self.admitted if start <= at < end)

    def most_in_any_interval(self) -> int:
        return max((self.between(at, at + self.claim.seconds) for at, _ in self.admitted), default=0)


async def admit(make: MakeState, claim: Claim, arrivals: list[tuple[float, int]], longer: float) -> None:
    """Let callers arrive; a window that counts admissions ``longer`` than its seconds may refuse no others."""
    ticking, history = Ticking(), History(claim)
    state = make(ticking.clock())
    for seconds, amount in arrivals:
        ticking.now += seconds
        if isinstance(await state.acquire([attrs.evolve(claim, amount=amount)]), Grant):
            history.admitted.append((ticking.now, amount))
            assert history.most_in_any_interval() <= claim.limit
        else:
            left_behind = ticking.now - claim.seconds * longer
            assert sum(taken for at, taken in history.admitted if at > left_behind) + amount > claim.limit
    await state.close()


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
@settings(deadline=None)  # a real server answers
@given(ARRIVALS, st.integers(1, 20))
def test_no_interval_of_a_window_ever_holds_more_than_its_limit(
    make: MakeState, arrivals: list[tuple[float, int]], limit: int
) -> None:
    asyncio.run(admit(make, a_window(limit=limit, seconds=8.0), arrivals, longer=1.0))


@pytest.mark.parametrize("make", [MemoryState, redis_state_in_four_slots], ids=STATES)
@settings(deadline=None)  # a real server answers
@given(ARRIVALS, st.integers(5, 60))
def test_neither_does_one_of_a_window_that_is_kept_in_slots(
    make: MakeState, arrivals: list[tuple[float, int]], limit: int
) -> None:
    with patch.object(memory, "_MOST_SLOTS", 4):
        asyncio.run(admit(make, a_window(limit=limit, seconds=8.0), arrivals, longer=1.25))
