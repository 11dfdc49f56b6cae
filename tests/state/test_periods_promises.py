"""Budgets under any interleaving: exchanges that reserve, grow, hang up, are settled or die, on every state."""

import asyncio
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiogate.claims import Claim, Grant, State
from tests.state.factories import STATES, MakeState
from tests.state.ticking import Ticking, a_period

COUNTERS = {"team": 100, "alice": 40}
SLICE = 8


@attrs.define
class Plan:
    """What one exchange is going to do: reserve, use so much in each step, and end."""

    counters: list[str]
    reserve: int
    steps: list[int]
    dies: bool


PLANS = st.lists(
    st.builds(
        Plan,
        st.sampled_from([["team"], ["alice"], ["team", "alice"]]),
        st.integers(1, 30),
        st.lists(st.integers(0, SLICE), max_size=12),
        st.booleans(),
    ),
    max_size=12,
)


def claims(plan: Plan, amount: int) -> list[Claim]:
    return [a_period(counter, COUNTERS[counter], amount) for counter in plan.counters]


@attrs.define
class Books:
    """What was settled, by counter."""

    state: State
    spent: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(COUNTERS, 0))

    async def check(self) -> None:
        for limit, (spent, held) in zip(COUNTERS.values(), await self.state.standings(list(COUNTERS)), strict=True):
            assert min(spent, held) >= 0
            assert spent + held <= limit


async def exchange(plan: Plan, books: Books, turn: random.Random) -> None:
    """Live as a metered stream does: hold more before it is used, stop where there is no more, settle what was used."""
    state = books.state
    grant = await state.acquire(claims(plan, plan.reserve))
    if not isinstance(grant, Grant):
        return
    held, used = plan.reserve, 0
    for step in plan.steps:
        for _ in range(turn.randrange(3)):
            await asyncio.sleep(0)
        if used + step > held:
            grown = await state.extend(grant, claims(plan, SLICE))
            if not isinstance(grown, Grant):
                break
            held += SLICE
        used += step
        await books.check()
    if plan.dies:
        return
    for counter in plan.counters:
        books.spent[counter] += used
    amounts = dict.fromkeys(plan.counters, used)
    await asyncio.gather(state.settle(grant, amounts), state.settle(grant, amounts))
    await books.check()


async def live(make: MakeState, plans: list[Plan], seed: int) -> None:
    ticking, turn = Ticking(), random.Random(seed)
    books = Books(make(ticking.clock()))
    await asyncio.gather(*(exchange(plan, books, turn) for plan in plans))
    ticking.now += 60  # the dead hold nothing any more
    standings = await books.state.standings(list(COUNTERS))
    assert [found.held for found in standings] == [0, 0]
    assert [found.spent for found in standings] == list(books.spent.values())
    await books.state.close()


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
@settings(max_examples=200, deadline=None)  # a real server answers
@given(PLANS, st.integers(0, 2**32))
def test_no_interleaving_passes_a_budget_and_all_that_is_held_comes_back(
    make: MakeState, plans: list[Plan], seed: int
) -> None:
    asyncio.run(live(make, plans, seed))
