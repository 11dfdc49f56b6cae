"""``memory://`` alone: what it keeps, and for how long. What it counts is in ``test_counters.py``."""

import pytest

from aiogate.state.memory import MemoryState
from tests.state.asking import fill, granted, left, refused
from tests.state.ticking import Ticking, a_lease, a_window


@pytest.fixture
def state(ticking: Ticking) -> MemoryState:
    return MemoryState(ticking.clock())


async def test_a_lease_is_held_until_its_grant_is_settled_however_late(state: MemoryState, ticking: Ticking) -> None:
    first, _ = await fill(state, a_lease(limit=2), 2)
    assert (await refused(state, a_lease(limit=2))).retry_after_seconds == 1.0
    ticking.now += 10**6
    await refused(state, a_lease(limit=2))
    await state.settle(first)
    await granted(state, a_lease(limit=2))


async def test_counters_that_nobody_uses_go_away(state: MemoryState, ticking: Ticking) -> None:
    for number in range(1000):
        grant = await granted(state, a_window(f"window {number}"), a_lease(f"lease {number}"))
        await state.settle(grant)
    assert not state._open
    ticking.now += 60
    await fill(state, a_window(limit=1000), 1000)
    assert list(state._counters) == ["requests"]


async def test_callers_who_never_come_back_do_not_fill_the_memory(state: MemoryState, ticking: Ticking) -> None:
    most = 0
    for number in range(5000):
        claims = [a_window(f"{number} {which}", seconds=100.0) for which in range(10)]
        await state.settle(await granted(state, *claims))
        ticking.now += 1
        most = max(most, len(state._counters))
    assert most <= 2 * 10 * 100 + 100


async def test_a_counter_that_is_in_use_is_not_swept_away(state: MemoryState, ticking: Ticking) -> None:
    held = await granted(state, a_lease(limit=1), a_window(limit=1, seconds=3600.0))
    for number in range(100):
        ticking.now += 30
        await granted(state, *(a_window(f"{number} {which}") for which in range(5)))
    await refused(state, a_lease(limit=1))
    await refused(state, a_window(limit=1, seconds=3600.0))
    await state.settle(held)
    await granted(state, a_lease(limit=1))


async def test_a_sweep_within_an_exchange_keeps_the_counters_that_it_claims(
    state: MemoryState, ticking: Ticking
) -> None:
    await granted(state, a_window(limit=1))
    ticking.now += 60
    await granted(state, a_window(limit=1), *(a_window(f"new {which}") for which in range(5)))
    await refused(state, a_window(limit=1))


async def test_one_acquire_looks_at_few_counters_however_many_there_are(state: MemoryState, ticking: Ticking) -> None:
    for number in range(10_000):
        await granted(state, a_window(str(number)))
    ticking.now += 60
    await granted(state, a_window("0"))
    assert len(state._counters) >= 9_998


@pytest.mark.parametrize("limit", [1025, 10**9])
async def test_a_large_limit_is_kept_in_few_slots(state: MemoryState, ticking: Ticking, limit: int) -> None:
    for _ in range(4 * 1024):
        await state.acquire([a_window(limit=limit, seconds=512.0)])
        ticking.now += 0.25
    [window] = state._counters.values()
    assert len(window.log) <= 1026


async def test_claims_that_were_settled_at_nothing_do_not_pile_up(state: MemoryState, ticking: Ticking) -> None:
    claim = a_window(limit=2, seconds=3600.0)
    await granted(state, claim)
    for _ in range(5000):
        await state.settle(await granted(state, claim), {"requests": 0})
        ticking.now += 0.125
    [window] = state._counters.values()
    assert len(window.log) <= 2050
    assert left(await granted(state, claim)) == [(0, 3600.0 - 625)]
