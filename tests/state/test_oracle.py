"""Every state against the PyPI package ``limits``, where it can express the case: windows that slide, several at once.

It checks one limit after the other, which is atomic enough for a single caller; it knows no leases, no calendar periods
and no correction of an estimate. It counts what is exactly as old as the window, and we do not: no two callers here
are an exact window apart.
"""

import asyncio
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, memory
from limits.strategies import MovingWindowRateLimiter

from aiogate.claims import Grant
from tests.state.factories import STATES, MakeState, cluster_state
from tests.state.ticking import Ticking, a_window

WINDOWS = {"burst": (3, 1), "some": (7, 4), "many": (20, 10)}
ITEMS = {name: RateLimitItemPerSecond(limit, seconds) for name, (limit, seconds) in WINDOWS.items()}
TICK_SECONDS = 0.3  # of which no number is a whole window

CALLS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.dictionaries(st.sampled_from(sorted(WINDOWS)), st.integers(1, 4), min_size=1),
    ),
    max_size=60,
)


def hit(limiter: MovingWindowRateLimiter, wanted: dict[str, int]) -> dict[str, int] | None:
    """Take all or nothing; return what is left."""
    if not all(limiter.test(ITEMS[name], name, cost=amount) for name, amount in wanted.items()):
        return None
    assert all(limiter.hit(ITEMS[name], name, cost=amount) for name, amount in wanted.items())
    return {name: limiter.get_window_stats(ITEMS[name], name).remaining for name in wanted}


async def in_step(make: MakeState, calls: list[tuple[int, dict[str, int]]]) -> None:
    ticking, ticks = Ticking(), 0
    state, storage = make(ticking.clock()), MemoryStorage()
    limiter = MovingWindowRateLimiter(storage)
    with patch.object(memory, "time", SimpleNamespace(time=lambda: ticking.now)):  # its own thread looks, too
        for passed, wanted in calls:
            ticks += passed
            ticking.now = 1000.0 + ticks * TICK_SECONDS
            left = hit(limiter, wanted)
            decision = await state.acquire([a_window(name, *WINDOWS[name], amount) for name, amount in wanted.items()])
            assert isinstance(decision, Grant) == (left is not None)
            if left is not None:
                assert {quota.claim.name: quota.remaining for quota in decision.quotas} == left
        storage.timer.cancel()
        storage.timer.join()
    await state.close()


@pytest.mark.parametrize("make", [*STATES.values(), cluster_state], ids=[*STATES, "cluster"])
@settings(deadline=None)  # a real server answers
@given(CALLS)
def test_windows_admit_what_limits_admits(make: MakeState, calls: list[tuple[int, dict[str, int]]]) -> None:
    asyncio.run(in_step(make, calls))
