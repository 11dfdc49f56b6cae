"""Counters of calendar periods, on every state: what is spent, what is held, and how a hold grows."""

import asyncio

import pytest

from aiogate.claims import LARGEST_AMOUNT, Claim, Grant, Shortage, Standing, State
from tests.state.asking import granted, refused
from tests.state.ticking import Ticking, a_lease, a_period, a_window


async def extended(state: State, grant: Grant, *claims: Claim) -> Grant:
    decision = await state.extend(grant, claims)
    assert isinstance(decision, Grant), decision
    return decision


async def standing(state: State, counter: str = "budget") -> tuple[int, int]:
    [found] = await state.standings([counter])
    return found


async def test_what_is_claimed_is_held_and_what_is_settled_is_spent(state: State) -> None:
    grant = await granted(state, a_period(amount=30))
    assert (grant.quotas[0].remaining, grant.quotas[0].spent, grant.quotas[0].held) == (70, 0, 30)
    assert await standing(state) == (0, 30)
    await state.settle(grant, {"budget": 12})
    assert await standing(state) == (12, 0)


async def test_spent_and_held_together_never_pass_the_limit(state: State) -> None:
    await state.settle(await granted(state, a_period(amount=60)), {"budget": 60})
    await granted(state, a_period(amount=30))
    shortage = await refused(state, a_period(amount=11))
    assert (shortage.quotas[0].spent, shortage.quotas[0].held, shortage.quotas[0].remaining) == (60, 30, 10)
    await granted(state, a_period(amount=10))


async def test_a_shortage_tells_what_is_spent_from_what_is_only_held(state: State, ticking: Ticking) -> None:
    ticking.now = 2000.0
    held = await granted(state, a_period(amount=90))
    assert (await refused(state, a_period(amount=20))).retry_after_seconds == 1.0
    await state.settle(held, {"budget": 90})
    assert (await refused(state, a_period(amount=20))).retry_after_seconds == 3000.0
    assert (await refused(state, a_period(amount=101))).retry_after_seconds == 3000.0


async def test_a_refused_exchange_takes_nothing_from_any_kind_of_counter(state: State) -> None:
    await granted(state, a_period(amount=100))
    for _ in range(3):
        await refused(state, a_window(limit=1), a_lease(limit=1), a_period("other"), a_period())
    await granted(state, a_window(limit=1), a_lease(limit=1), a_period("other", amount=100))


async def test_two_hundred_callers_at_a_budget_for_fifty_exactly_fifty_pass(state: State) -> None:
    decisions = await asyncio.gather(*(state.acquire([a_period(amount=2), a_lease(limit=300)]) for _ in range(200)))
    assert sum(isinstance(decision, Grant) for decision in decisions) == 50
    assert await standing(state) == (0, 100)


async def test_settling_without_a_real_amount_spends_what_was_held(state: State) -> None:
    await state.settle(await granted(state, a_period(amount=7)))
    assert await standing(state) == (7, 0)


async def test_settling_twice_spends_once(state: State) -> None:
    grant = await granted(state, a_period(amount=7))
    for amount in (5, 50, 0):
        await state.settle(grant, {"budget": amount})
    assert await standing(state) == (5, 0)


async def test_nothing_is_ever_credited(state: State) -> None:
    await state.settle(await granted(state, a_period(amount=7)), {"budget": 7})
    await state.settle(await granted(state, a_period(amount=7)), {"budget": -(10**9)})
    await state.settle(await granted(state, a_window("tokens", limit=10, amount=5)), {"tokens": -5})
    assert await standing(state) == (7, 0)
    await granted(state, a_window("tokens", limit=10, amount=10))
    await refused(state, a_window("tokens", limit=10, amount=1))


async def test_what_was_used_over_the_limit_is_spent_all_the_same(state: State) -> None:
    await state.settle(await granted(state, a_period(amount=7)), {"budget": 250})
    shortage = await refused(state, a_period(amount=1))
    assert (shortage.quotas[0].spent, shortage.quotas[0].remaining) == (250, 0)


async def test_the_largest_amounts_are_counted_to_the_last_unit(state: State) -> None:
    large = a_period(limit=LARGEST_AMOUNT, amount=LARGEST_AMOUNT - 1)
    await state.settle(await granted(state, large), {"budget": large.amount})
    assert await standing(state) == (LARGEST_AMOUNT - 1, 0)
    await granted(state, a_period(limit=LARGEST_AMOUNT))
    await refused(state, a_period(limit=LARGEST_AMOUNT))


# growth


async def test_a_grant_grows_and_is_settled_as_one(state: State) -> None:
    grant = await granted(state, a_period(amount=10), a_lease(limit=1))
    grown = await extended(state, grant, a_period(amount=15))
    assert (grown.id, grown.quotas[0].held) == (grant.id, 25)
    await state.settle(grant, {"budget": 21})
    assert await standing(state) == (21, 0)
    await granted(state, a_lease(limit=1))


async def test_a_grant_grows_in_all_its_budgets_or_in_none(state: State) -> None:
    grant = await granted(state, a_period("wide", amount=10), a_period("tight", amount=95))
    shortage = await state.extend(grant, [a_period("wide", amount=10), a_period("tight", amount=10)])
    assert isinstance(shortage, Shortage)
    assert shortage.claim.counter == "tight"
    assert await state.standings(["wide", "tight"]) == [Standing(0, 10), Standing(0, 95)]
    await extended(state, grant, a_period("wide", amount=10), a_period("tight", amount=5))


async def test_what_was_settled_does_not_grow(state: State) -> None:
    grant = await granted(state, a_period(amount=10))
    await state.settle(grant, {"budget": 3})
    assert await state.extend(grant, [a_period(amount=10)]) is None
    assert await standing(state) == (3, 0)


async def test_a_grant_does_not_grow_where_it_holds_nothing(state: State) -> None:
    grant = await granted(state, a_period(amount=10), a_window())
    for claim in (a_period("another"), a_window()):
        with pytest.raises(ValueError, match="holds nothing"):
            await state.extend(grant, [claim])


# a holder that has died


async def test_what_nobody_settles_is_free_again_in_time(state: State, ticking: Ticking) -> None:
    await granted(state, a_period(amount=100))
    ticking.now += 59.875
    await refused(state, a_period())
    ticking.now += 0.125
    assert await standing(state) == (0, 0)
    await granted(state, a_period(amount=100))


async def test_who_grows_is_alive(state: State, ticking: Ticking) -> None:
    grant = await granted(state, a_period(amount=10))
    other = await granted(state, a_period(amount=5))
    ticking.now += 40
    await extended(state, grant, a_period(amount=10))
    ticking.now += 40
    assert await standing(state) == (0, 20)
    await state.settle(other, {"budget": 5})
    assert await standing(state) == (5, 20)


async def test_who_grows_after_its_time_holds_everything_anew(state: State, ticking: Ticking) -> None:
    grant = await granted(state, a_period(amount=40))
    ticking.now += 60
    squatter = await granted(state, a_period(amount=90))
    assert isinstance(await state.extend(grant, [a_period(amount=10)]), Shortage)
    await state.settle(squatter, {"budget": 0})
    await extended(state, grant, a_period(amount=10))
    assert await standing(state) == (0, 50)


async def test_who_is_settled_after_its_time_has_spent_it_all_the_same_and_once(state: State, ticking: Ticking) -> None:
    grant = await granted(state, a_period(amount=40))
    ticking.now += 61
    for _ in range(2):
        await state.settle(grant, {"budget": 33})
    assert await standing(state) == (33, 0)


# periods and what was before


async def test_the_next_period_is_another_counter_and_the_old_one_goes_in_time(state: State, ticking: Ticking) -> None:
    old = await granted(state, a_period("january", amount=100, ends=2000.0))
    ticking.now = 2000.5
    new = await granted(state, a_period("february", amount=100, ends=4000.0))
    await state.settle(old, {"january": 90})
    await state.settle(new, {"february": 10})
    assert await state.standings(["january", "february"]) == [Standing(90, 0), Standing(10, 0)]
    ticking.now += 7200
    for number in range(64):
        await granted(state, a_window(str(number)))
    assert await standing(state, "january") == (0, 0)


async def test_a_counter_begins_with_what_was_spent_before(state: State) -> None:
    await state.resume([a_period(amount=88)])
    assert await standing(state) == (88, 0)
    await refused(state, a_period(amount=13))
    await granted(state, a_period(amount=12))


async def test_a_counter_that_is_known_does_not_begin_anew(state: State) -> None:
    await state.settle(await granted(state, a_period(amount=5)), {"budget": 5})
    await state.resume([a_period(amount=88)])
    await state.resume([a_period("other", amount=3)])
    await state.resume([a_period("other", amount=4)])
    assert await state.standings(["budget", "other"]) == [Standing(5, 0), Standing(3, 0)]


async def test_another_limit_counts_on(state: State) -> None:
    await state.settle(await granted(state, a_period(limit=100, amount=60)), {"budget": 60})
    await refused(state, a_period(limit=50))
    await granted(state, a_period(limit=200, amount=140))
