"""What Redis adds to an exchange that memory would not take, held to its bound: the middle of many, on one machine.

Three claims are taken and settled, as for an agent with a rate limit, a token limit and a concurrency. The figures:
``python -m pytest -s tests/bench/test_shared_counters.py``.
"""

import asyncio
import statistics
import time

import pytest
import uvloop

from aiogate.claims import Claim, Grant, State
from aiogate.exchange import Clock
from aiogate.state.memory import MemoryState
from aiogate.state.redis import RedisState
from aiogate.state.redis.scripts import source
from tests.state.redis_server import redis_server
from tests.state.ticking import a_lease, a_window

EXCHANGES = 2000
TOGETHER = 50
MAX_ADDED_SECONDS = 0.0004
ROUNDS = 3


def claims() -> list[Claim]:
    return [a_window(limit=10**6), a_window("tokens", limit=10**9, amount=500), a_lease(limit=1000)]


async def seconds_alone(state: State) -> float:
    """Return how long the middle one of exchanges waits that come one after the other."""
    waited = []
    for _ in range(EXCHANGES):
        began = time.perf_counter()
        grant = await state.acquire(claims())
        waited.append(time.perf_counter() - began)
        assert isinstance(grant, Grant)
        await state.settle(grant, {"tokens": 321})
        await asyncio.sleep(0)
    return statistics.median(waited)


async def seconds_together(state: State) -> float:
    """Return how long each of many takes of the loop's time that come in one tick, settled."""
    began = time.perf_counter()
    for _ in range(EXCHANGES // TOGETHER):
        for grant in await asyncio.gather(*(state.acquire(claims()) for _ in range(TOGETHER))):
            assert isinstance(grant, Grant)
            await state.settle(grant, {"tokens": 321})
    return (time.perf_counter() - began) / EXCHANGES


async def measured(url: str) -> tuple[float, float]:
    """Return what Redis adds to the middle one alone and to each of many, at best: neighbours do not count."""
    added, each = [], []
    for number in range(ROUNDS):
        redis = RedisState(url, Clock(), prefix=f"bench{number}:", timeout_seconds=5.0)
        await redis.open()
        added.append(await seconds_alone(redis) - await seconds_alone(MemoryState(Clock())))
        each.append(await seconds_together(redis))
        assert redis.degraded is None
        await redis.close()
    return min(added), min(each)


def test_an_exchange_waits_for_redis_less_than_it_would_notice(capsys: pytest.CaptureFixture[str]) -> None:
    source()  # which reads files, and not in the loop
    with redis_server() as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        added, each = runner.run(measured(server.url))
    with capsys.disabled():
        print(f"\nredis adds {added * 1e6:.0f} µs alone; {each * 1e6:.0f} µs for each of {TOGETHER} together")
    assert added < MAX_ADDED_SECONDS
