"""Windows, leases and what is said when something does not fit, on every state."""

import asyncio

import pytest

from aiogate.claims import Grant, State
from aiogate.errors import StateError
from tests.state.asking import fill, granted, left, refused
from tests.state.ticking import Ticking, a_lease, a_window

# windows


async def test_a_window_admits_its_limit_and_no_more(state: State) -> None:
    await fill(state, a_window(limit=3), 3)
    await refused(state, a_window(limit=3))


async def test_two_hundred_callers_at_a_limit_of_fifty_exactly_fifty_pass(state: State) -> None:
    decisions = await asyncio.gather(*(state.acquire([a_window(limit=50), a_lease(limit=60)]) for _ in range(200)))
    assert sum(isinstance(decision, Grant) for decision in decisions) == 50
    assert len(await fill(state, a_lease(limit=60), 10)) == 10
    await refused(state, a_lease(limit=60))


async def test_a_window_slides_so_that_no_interval_holds_more(state: State, ticking: Ticking) -> None:
    claim = a_window(limit=2, seconds=60.0)
    await granted(state, claim)
    ticking.now += 50
    await granted(state, claim)
    ticking.now += 10
    await granted(state, claim)
    await refused(state, claim)
    ticking.now += 49.875
    await refused(state, claim)
    ticking.now += 0.125
    await granted(state, claim)


@pytest.mark.parametrize("amount", [1, 2, 3])
async def test_at_retry_after_it_fits_and_just_before_it_does_not(state: State, ticking: Ticking, amount: int) -> None:
    for _ in range(3):
        await granted(state, a_window(limit=3))
        ticking.now += 7
    wanted = a_window(limit=3, amount=amount)
    shortage = await refused(state, wanted)
    assert shortage.retry_after_seconds == 60 - 21 + 7 * (amount - 1)
    ticking.now += shortage.retry_after_seconds - 0.125
    assert (await refused(state, wanted)).retry_after_seconds == 0.125
    ticking.now += 0.125
    await granted(state, wanted)


async def test_an_amount_over_the_limit_never_fits(state: State, ticking: Ticking) -> None:
    shortage = await refused(state, a_window(limit=3, amount=4))
    assert shortage.retry_after_seconds == 60.0
    ticking.now += 60
    await refused(state, a_window(limit=3, amount=4))
    assert left(shortage) == [(3, 0.0)]


# leases


async def test_a_lease_comes_back_when_its_grant_is_settled(state: State) -> None:
    first, _ = await fill(state, a_lease(limit=2), 2)
    assert (await refused(state, a_lease(limit=2))).retry_after_seconds == 1.0
    await state.settle(first)
    await granted(state, a_lease(limit=2))


async def test_a_lease_is_given_back_once_however_often_it_is_settled(state: State) -> None:
    first, _ = await fill(state, a_lease(limit=2), 2)
    for _ in range(3):
        await state.settle(first, {"streams": 0})
    await granted(state, a_lease(limit=2))
    await refused(state, a_lease(limit=2))


async def test_more_than_a_lease_has_never_fits(state: State) -> None:
    shortage = await refused(state, a_lease("a", limit=2, amount=3), a_window(limit=3))
    assert (shortage.claim.counter, shortage.retry_after_seconds) == ("a", 1.0)


# all or none


async def test_a_refused_exchange_takes_nothing(state: State) -> None:
    await fill(state, a_window("b", limit=1), 1)
    for _ in range(5):
        await refused(state, a_window("a", limit=2), a_lease(limit=1), a_window("b", limit=1), a_window("c", limit=2))
    assert left(await granted(state, a_window("a", limit=2), a_window("c", limit=2), a_lease(limit=1))) == [
        (1, 60.0),
        (1, 60.0),
        (0, 1.0),
    ]


async def test_the_claim_that_fits_last_is_named_with_the_time_when_all_fit(state: State, ticking: Ticking) -> None:
    minute, hour = a_window("minute", limit=1, seconds=60.0), a_window("hour", limit=1, seconds=3600.0)
    await granted(state, hour)
    ticking.now += 3590
    await granted(state, minute)
    shortage = await refused(state, hour, minute)
    assert (shortage.claim, shortage.retry_after_seconds) == (minute, 60.0)
    assert left(shortage) == [(0, 10.0), (0, 60.0)]


async def test_a_claim_that_never_fits_is_named_before_one_that_takes_long(state: State) -> None:
    day = a_window("day", limit=1, seconds=86400.0)
    await granted(state, day)
    shortage = await refused(state, day, a_window(limit=3, amount=4))
    assert (shortage.claim.counter, shortage.retry_after_seconds) == ("requests", 86400.0)


async def test_a_lease_that_is_short_may_be_what_fits_last(state: State, ticking: Ticking) -> None:
    await granted(state, a_lease(limit=1), a_window(limit=1, seconds=60.0))
    ticking.now += 59.5
    shortage = await refused(state, a_window(limit=1, seconds=60.0), a_lease(limit=1))
    assert (shortage.claim.counter, shortage.retry_after_seconds) == ("streams", 1.0)


async def test_two_claims_on_one_counter_add_up(state: State, ticking: Ticking) -> None:
    claims = [a_window(limit=5, amount=2), a_window(limit=5, amount=1)]
    await granted(state, *claims)
    ticking.now += 10
    shortage = await refused(state, *claims)
    assert (shortage.claim, shortage.retry_after_seconds) == (claims[1], 50.0)
    await granted(state, a_window(limit=5, amount=2))


async def test_two_claims_on_one_counter_that_never_fit_together_never_fit(state: State) -> None:
    claims = [a_window(limit=5, amount=3), a_window(limit=5, amount=4)]
    shortage = await refused(state, *claims)
    assert (shortage.claim, shortage.retry_after_seconds) == (claims[1], 60.0)


async def test_an_exchange_without_claims_is_granted(state: State) -> None:
    assert (await granted(state)).quotas == ()


# what is left


async def test_quotas_say_what_is_left_and_when_there_is_more(state: State, ticking: Ticking) -> None:
    assert left(await granted(state, a_window(limit=3), a_lease(limit=2))) == [(2, 60.0), (1, 1.0)]
    ticking.now += 20
    assert left(await granted(state, a_window(limit=3), a_lease(limit=2))) == [(1, 40.0), (0, 1.0)]


async def test_a_counter_that_nobody_touched_resets_at_once(state: State) -> None:
    await fill(state, a_lease(limit=1), 1)
    shortage = await refused(state, a_lease(limit=1), a_window(limit=3), a_lease("untouched", limit=2))
    assert left(shortage) == [(0, 1.0), (3, 0.0), (2, 0.0)]


async def test_no_quota_of_a_shortage_resets_after_its_retry(state: State) -> None:
    await granted(state, a_window("day", limit=9, seconds=86400.0), a_window("minute", limit=1))
    shortage = await refused(state, a_window("day", limit=9, seconds=86400.0), a_window("minute", limit=1))
    assert left(shortage) == [(8, 60.0), (0, 60.0)]


async def test_another_limit_on_the_same_counter_counts_what_was_admitted_before(state: State) -> None:
    await fill(state, a_window(limit=9), 5)
    await refused(state, a_window(limit=5))
    assert left(await granted(state, a_window(limit=7))) == [(1, 60.0)]


# settling


async def test_the_real_amount_takes_the_place_of_the_claimed_one(state: State, ticking: Ticking) -> None:
    grant = await granted(state, a_window("tokens", limit=100, amount=60), a_window("requests", limit=2))
    await state.settle(grant, {"tokens": 10})
    decision = await granted(state, a_window("tokens", limit=100, amount=90), a_window("requests", limit=2))
    assert left(decision) == [(0, 60.0), (0, 60.0)]
    ticking.now += 60
    assert left(await granted(state, a_window("tokens", limit=100))) == [(99, 60.0)]


async def test_a_real_amount_over_the_limit_is_owed_until_it_has_passed(state: State, ticking: Ticking) -> None:
    await granted(state, a_window("tokens", limit=100, amount=1))
    ticking.now += 10
    await state.settle(await granted(state, a_window("tokens", limit=100, amount=1)), {"tokens": 500})
    shortage = await refused(state, a_window("tokens", limit=100, amount=1))
    assert (shortage.retry_after_seconds, left(shortage)) == (60.0, [(0, 60.0)])
    ticking.now += 60
    await granted(state, a_window("tokens", limit=100, amount=100))


async def test_what_was_settled_at_nothing_is_free(state: State) -> None:
    await state.settle(await granted(state, a_window(limit=1)), {"requests": 0})
    await granted(state, a_window(limit=1))


async def test_settling_twice_changes_nothing_more(state: State) -> None:
    grant = await granted(state, a_window(limit=10, amount=5))
    for _ in range(3):
        await state.settle(grant, {"requests": 4})
    assert left(await granted(state, a_window(limit=10, amount=1))) == [(5, 60.0)]


@pytest.mark.parametrize("looked_at_between", [False, True])
async def test_settling_what_has_left_the_window_changes_nothing(
    state: State, ticking: Ticking, looked_at_between: bool
) -> None:
    grant = await granted(state, a_window(limit=10, amount=5))
    ticking.now += 60
    if looked_at_between:
        await granted(state, a_window(limit=10))
    await state.settle(grant, {"requests": 9})
    assert left(await granted(state, a_window(limit=10))) == [(8 if looked_at_between else 9, 60.0)]


async def test_a_grant_that_was_never_given_is_left_alone(state: State) -> None:
    grant = await granted(state, a_lease(limit=1))
    await state.settle(grant._replace(id=grant.id + 1), {"streams": 0})
    await refused(state, a_lease(limit=1))


# large limits


async def test_a_large_limit_counts_a_little_longer_never_shorter(state: State, ticking: Ticking) -> None:
    claim = a_window(limit=2000, seconds=1024.0)
    await fill(state, claim, 1000)
    ticking.now += 0.875
    await fill(state, claim, 1000)
    shortage = await refused(state, claim)
    assert shortage.retry_after_seconds == 1024.0
    ticking.now += 1023.875
    await refused(state, claim)
    ticking.now += 0.125
    await fill(state, claim, 2000)


async def test_settling_corrects_one_of_many_in_a_slot(state: State) -> None:
    grants = await fill(state, a_window(limit=2000, amount=10), 200)
    await state.settle(grants[7], {"requests": 3})
    await refused(state, a_window(limit=2000, amount=8))
    await granted(state, a_window(limit=2000, amount=7))


# the end


async def test_nothing_can_be_acquired_once_it_is_closed(state: State) -> None:
    grant = await granted(state, a_lease())
    await state.close()
    with pytest.raises(StateError, match="closed"):
        await state.acquire([a_window()])
    await state.settle(grant)
    await state.close()
