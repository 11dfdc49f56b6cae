"""What Redis adds to an exchange that memory would not take, held to its bound: the middle of many, on one machine.

Three claims are taken and settled, as for an agent with a rate limit, a token limit and a concurrency. Redis is asked
one thing at a time, so an exchange that comes on the heels of another one's end waits for the settling, too: twice as
long at most. Where a bare round trip takes more than a tenth of a millisecond, as on a machine whose host is busy, the
bound is in round trips of the same run. The figures: ``AIOGATE_SHARED_EXCHANGES=2000 python -m pytest -n 0 -s
tests/bench/test_shared_counters.py``.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable

import attrs
import pytest
import redis.asyncio
import uvloop

from aiogate.claims import Claim, Grant, State
from aiogate.exchange import Clock
from aiogate.state.memory import MemoryState
from aiogate.state.redis import RedisState
from aiogate.state.redis.scripts import source
from tests.state.redis_server import redis_server
from tests.state.ticking import a_lease, a_window

EXCHANGES = int(os.environ.get("AIOGATE_SHARED_EXCHANGES", "500"))
TOGETHER = 50
MAX_ADDED_SECONDS = 0.0004
MAX_ROUND_TRIPS = 4
"""Of a ``PING`` by redis-py."""
ROUNDS = 3


@attrs.frozen
class Waited:
    """Seconds that the middle exchange waits: when nothing is under way, on the heels of another, each of many."""

    alone: float
    behind: float
    together: float
    round_trip: float


def claims() -> list[Claim]:
    return [a_window(limit=10**6), a_window("tokens", limit=10**9, amount=500), a_lease(limit=1000)]


async def at_rest(state: State) -> None:
    """Wait until nothing is under way to Redis."""
    if isinstance(state, RedisState):
        await state._batches._idle.wait()


async def on_the_heels(_state: State) -> None:
    """Let the settling of the exchange before leave, and no more."""
    await asyncio.sleep(0)


async def seconds_until_taken(state: State, pause: Callable[[State], Awaitable[None]]) -> float:
    """Return how long the middle one of exchanges waits that come one after the other, with a pause between them."""
    waited = []
    for _ in range(EXCHANGES):
        began = time.perf_counter()
        grant = await state.acquire(claims())
        waited.append(time.perf_counter() - began)
        assert isinstance(grant, Grant)
        await state.settle(grant, {"tokens": 321})
        await pause(state)
    return statistics.median(waited)


async def seconds_of_a_round_trip(url: str) -> float:
    """Return how long the middle one of many ``PING`` takes."""
    waited = []
    async with redis.asyncio.Redis.from_url(url) as client:
        for _ in range(EXCHANGES):
            began = time.perf_counter()
            await client.ping()
            waited.append(time.perf_counter() - began)
    return statistics.median(waited)


async def seconds_together(state: State) -> float:
    """Return how long each of many takes of the loop's time that come in one tick, settled."""
    began = time.perf_counter()
    for _ in range(EXCHANGES // TOGETHER):
        for grant in await asyncio.gather(*(state.acquire(claims()) for _ in range(TOGETHER))):
            assert isinstance(grant, Grant)
            await state.settle(grant, {"tokens": 321})
    return (time.perf_counter() - began) / EXCHANGES


async def measured(url: str) -> Waited:
    """Return what Redis adds, at best of a few rounds: neighbours do not count."""
    rounds = []
    for number in range(ROUNDS):
        shared = RedisState(url, Clock(), prefix=f"bench{number}:", timeout_seconds=5.0)
        await shared.open()
        memory = await seconds_until_taken(MemoryState(Clock()), on_the_heels)
        rounds.append(
            Waited(
                await seconds_until_taken(shared, at_rest) - memory,
                await seconds_until_taken(shared, on_the_heels) - memory,
                await seconds_together(shared),
                await seconds_of_a_round_trip(url),
            )
        )
        assert shared.degraded is None
        await shared.close()
    return Waited(*(min(figures) for figures in zip(*map(attrs.astuple, rounds), strict=True)))


def test_an_exchange_waits_for_redis_less_than_it_would_notice(capsys: pytest.CaptureFixture[str]) -> None:
    source()  # which reads files, and not in the loop
    with redis_server() as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        waited = runner.run(measured(server.url))
    alone, behind, together, trip = (figure * 1e6 for figure in attrs.astuple(waited))
    bound = max(MAX_ADDED_SECONDS, MAX_ROUND_TRIPS * waited.round_trip)
    with capsys.disabled():
        print(f"\nredis adds {alone:.0f} µs, {behind:.0f} on the heels of another exchange, {together:.0f} for each of")
        print(f"{TOGETHER} together; a bare round trip takes {trip:.0f}")
    assert waited.alone < bound
    assert waited.behind < 2 * bound
