"""A master that real sentinels name: found, and followed to the replica that takes its place while calls run."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from aiogate.claims import Standing
from aiogate.errors import StateError
from aiogate.exchange import Clock
from aiogate.state.redis import RedisState
from tests.state.asking import fill, granted, refused
from tests.state.redis.conftest import until
from tests.state.redis_cluster import Watched, watched_redis
from tests.state.ticking import a_lease, a_period, a_window

TOMORROW = time.time() + 86400
SECONDS = 30


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with watched_redis(password="watch%word") as running:
        yield running


def url_of(watched: Watched) -> str:
    return f"{watched.url}?sentinel_password=watch%25word"


async def state_at(url: str) -> RedisState:
    state = RedisState(url, Clock(), timeout_seconds=5.0)
    await state.open()
    return state


async def test_the_master_is_found_behind_a_sentinel_that_is_down(watched: Watched) -> None:
    url = url_of(watched).replace("sentinel://", "sentinel://127.0.0.1:1,")
    state = await state_at(url)
    assert not (await granted(state, a_window())).degraded
    assert await asyncio.to_thread(watched.master().call, "DBSIZE") > 0
    await state.close()


@pytest.mark.parametrize(
    "change, said",
    [
        (
            ("/mymaster", "/theirmaster"),
            "no sentinel tells where the master is: none of those that answer knows a master 'theirmaster'",
        ),
        (("watch%25word", "hunter2"), "Redis refuses this user: "),
    ],
)
async def test_sentinels_that_do_not_tell_are_named_without_a_password(
    watched: Watched, change: tuple[str, str], said: str
) -> None:
    state = RedisState(url_of(watched).replace(*change), Clock())
    try:
        await state.open()
        why = state.degraded or ""
    except StateError as error:
        why = str(error)
    assert why.startswith(said)
    assert "hunter2" not in why
    assert "watch" not in why
    await state.close()


async def test_who_takes_the_masters_place_is_followed_while_calls_run(watched: Watched) -> None:
    """By order, and by death: budgets and places are what they were, and no call waits for the change."""
    state = await state_at(url_of(watched))
    await state.settle(await granted(state, a_period(amount=60, ends=TOMORROW)), {"budget": 60})
    held = await granted(state, a_lease(limit=2))
    await until(lambda: not state.pending)
    done, calls = asyncio.Event(), 0

    async def calling() -> None:
        nonlocal calls
        while not done.is_set():
            await granted(state, a_window("calls", limit=10**6))
            calls += 1
            await asyncio.sleep(0.001)

    caller = asyncio.create_task(calling())
    before = await asyncio.to_thread(watched.master)
    await asyncio.to_thread(watched.fail_over)
    now = await asyncio.to_thread(watched.master)
    assert now is not before
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(now.call, "EXISTS", "aiogate:{state}:counter:calls") or state.degraded:
            await asyncio.sleep(0.02)
    await refused(state, a_period(amount=41, ends=TOMORROW))
    await fill(state, a_lease(limit=2), 1)
    await refused(state, a_lease(limit=2))
    await until(lambda: state.degraded is None)
    before_death = calls
    now.kill()
    await until(lambda: calls > before_death + 20)
    done.set()
    await caller
    await state.settle(held)
    assert (await state.standings(["budget"]))[0] == Standing(60, 0)
    await state.close()
