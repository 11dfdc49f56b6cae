"""The states against each other: on one sequence of operations they say the same."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiogate.claims import Claim, Grant, Shortage, State
from aiogate.state.memory import MemoryState
from tests.state.factories import STATES, MakeState, cluster_state
from tests.state.ticking import Ticking, a_lease, a_period, a_window

COUNTERS = (
    a_window("burst", limit=3, seconds=1.0),
    a_window("minute", limit=7, seconds=8.0),
    a_window("slots", limit=1500, seconds=1024.0, amount=400),
    a_lease("streams", limit=2),
    a_period("alice", limit=40, ends=1100.0),
    a_period("team", limit=50),
)
SETTLED = ("burst", "minute", "streams", "alice", "team")
"""A window that is kept in slots begins another one where all of one was settled at nothing: it may count shorter."""


@attrs.frozen
class Sits:
    seconds: float

    async def on(self, _state: State, _grants: list[Grant], pass_time: Callable[[float], None]) -> Any:
        pass_time(self.seconds)


@attrs.frozen
class Acquires:
    claims: tuple[Claim, ...]

    async def on(self, state: State, grants: list[Grant], _pass_time: Callable[[float], None]) -> Any:
        decision = await state.acquire(self.claims)
        if isinstance(decision, Grant):
            grants.append(decision)
        return said(decision)


@attrs.frozen
class Extends:
    number: int
    amount: int

    async def on(self, state: State, grants: list[Grant], _pass_time: Callable[[float], None]) -> Any:
        if self.number >= len(grants):
            return None
        grant = grants[self.number]
        periods = {quota.claim.counter: quota.claim for quota in grant.quotas if quota.claim.period is not None}
        claims = [attrs.evolve(claim, amount=self.amount) for claim in periods.values()]
        return said(await state.extend(grant, claims)) if claims else None


@attrs.frozen
class Settles:
    number: int
    actual: int | None

    async def on(self, state: State, grants: list[Grant], _pass_time: Callable[[float], None]) -> Any:
        if self.number < len(grants):
            amounts = None if self.actual is None else dict.fromkeys(SETTLED, self.actual)
            await state.settle(grants[self.number], amounts)
        return [*await state.standings(["alice", "team", "nobody"])]


def said(decision: Grant | Shortage | None) -> Any:
    if decision is None:
        return None
    quotas = [(one.claim.counter, *one[1:], one.claim.amount) for one in decision.quotas]
    if isinstance(decision, Grant):
        return quotas
    return decision.claim.counter, decision.claim.amount, decision.retry_after_seconds, quotas


def some(claim: Claim, amount: int, least: int | None) -> Claim:
    """Return a claim on so much; what is left of a period may do."""
    if claim.period is None or least is None:
        return attrs.evolve(claim, amount=amount * claim.amount)
    return attrs.evolve(claim, amount=4 * amount, least=min(least, 4 * amount))


def steps_on(counters: Sequence[Claim]) -> st.SearchStrategy[list[Any]]:
    """Return how to make sequences of operations."""
    amounts, least = st.integers(1, 5), st.none() | st.integers(1, 5)
    claims = st.lists(st.builds(some, st.sampled_from(counters), amounts, least), min_size=1, max_size=4)
    return st.lists(
        st.builds(Sits, st.integers(0, 40).map(lambda eighths: eighths / 8) | st.sampled_from([30.0, 61.0]))
        | st.builds(Acquires, claims.map(tuple))
        | st.builds(Extends, st.integers(0, 12), st.integers(1, 30))
        | st.builds(Settles, st.integers(0, 12), st.none() | st.integers(-1, 12)),
        max_size=40,
    )


async def answers(make: MakeState, steps: list[Any]) -> list[Any]:
    ticking = Ticking()
    state = make(ticking.clock())
    grants: list[Grant] = []

    def pass_time(seconds: float) -> None:
        ticking.now += seconds

    told = [await step.on(state, grants, pass_time) for step in steps]
    await state.close()
    return told


@pytest.mark.parametrize("make", [make for make in STATES.values() if make is not MemoryState])
@settings(max_examples=200, deadline=None)  # a real server answers
@given(steps_on(COUNTERS))
def test_each_says_what_memory_says(make: MakeState, steps: list[Any]) -> None:
    assert asyncio.run(answers(make, steps)) == asyncio.run(answers(MemoryState, steps))


def left(answer: Any) -> dict[str, int]:
    return {counter: remaining for counter, remaining, *_ in answer[3]}


async def in_turn(steps: list[Any]) -> None:
    """Let memory and a cluster, whose parts are taken one after the other, say the same of each step."""
    for cluster, memory in zip(await answers(cluster_state, steps), await answers(MemoryState, steps), strict=True):
        if isinstance(memory, tuple):
            assert isinstance(cluster, tuple)
            assert cluster[2] <= memory[2] + 1e-5
            assert left(cluster).items() <= left(memory).items()
        else:
            assert cluster == memory


IN_A_CLUSTER = [claim for claim in COUNTERS if claim.counter != "slots"]
"""What was given back of a slot that others share has made it count longer, by a 1,024th of the window."""


@settings(max_examples=250, deadline=None)  # a real cluster answers
@given(steps_on(IN_A_CLUSTER))
def test_a_cluster_admits_what_memory_admits(steps: list[Any]) -> None:
    asyncio.run(in_turn(steps))
