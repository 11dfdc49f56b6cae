"""Redis that is slow, gone, empty, full or not allowed to write: what exchanges get, and that counts are put right."""

import asyncio
import os
import signal
import time

import attrs
import pytest

from aiogate.claims import Grant, Shortage, Standing
from aiogate.errors import StateError
from tests.state.asking import fill, granted, refused
from tests.state.redis.conftest import Connect, until
from tests.state.redis_server import RedisServer
from tests.state.ticking import a_lease, a_period, a_window

TOMORROW = time.time() + 86400


async def test_who_waits_for_a_redis_that_hangs_waits_for_so_long_and_the_next_does_not(
    server: RedisServer, connect: Connect
) -> None:
    state = await connect(timeout_seconds=0.1)
    await granted(state, a_window(limit=50))
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    decisions = await asyncio.gather(*(state.acquire([a_window(limit=50)]) for _ in range(60)))
    assert loop.time() - begun < 1.0
    assert sum(isinstance(one, Grant) for one in decisions) == 49
    assert all(one.degraded for one in decisions)
    assert state.degraded == "Redis has not answered within 0.1 s"
    begun = loop.time()
    assert (await granted(state, a_window("other"))).degraded
    assert loop.time() - begun < 0.05
    os.kill(server.process.pid, signal.SIGCONT)
    await until(lambda: state.degraded is None)
    await refused(state, a_window(limit=50))
    assert not (await granted(state, a_window("third"))).degraded


async def test_a_request_that_a_hanging_redis_does_late_counts_once(server: RedisServer, connect: Connect) -> None:
    """The stopped server has the batch in its socket, and runs it when it wakes up."""
    state, other = await connect(timeout_seconds=0.1), await connect(timeout_seconds=SECONDS_ENOUGH)
    grant = await granted(state, a_lease(limit=5), a_period(amount=10, ends=TOMORROW), a_window(limit=10))
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    await state.settle(grant, {"budget": 7, "requests": 1})
    second = await granted(state, a_lease(limit=5), a_period(amount=10, ends=TOMORROW), a_window(limit=10))
    assert second.degraded
    os.kill(server.process.pid, signal.SIGCONT)
    await until(lambda: state.degraded is None and not state.pending)
    assert await other.standings(["budget"]) == [Standing(7, 10)]
    await state.settle(second, {"budget": 2, "requests": 1})
    await until(lambda: not state.pending)
    assert await state.standings(["budget"]) == [Standing(9, 0)]
    await fill(other, a_lease(limit=5), 5)
    await refused(other, a_lease(limit=5))
    assert (await granted(other, a_window(limit=10))).quotas[0].remaining == 7


SECONDS_ENOUGH = 20.0


async def test_without_redis_each_claim_goes_its_own_way(server: RedisServer, connect: Connect) -> None:
    state = await connect()
    server.kill()
    refusing, allowing, sharing = (
        attrs.evolve(a_window(how, limit=1), on_state_error=how) for how in ("refuse", "allow", "local")
    )
    with pytest.raises(StateError):
        await state.acquire([sharing, refusing])
    await granted(state, sharing)
    await refused(state, sharing, allowing)
    for _ in range(5):
        assert (await granted(state, allowing)).degraded


async def test_on_error_is_for_claims_that_do_not_say(server: RedisServer, connect: Connect) -> None:
    allowing, refusing = await connect(on_error="allow"), await connect(on_error="refuse")
    server.kill()
    await fill(allowing, a_window(limit=1), 5)
    with pytest.raises(StateError):
        await refusing.acquire([a_window(limit=1)])


async def test_a_gateway_alone_goes_on_where_it_was(server: RedisServer, connect: Connect) -> None:
    state = await connect()
    await fill(state, a_window(limit=50), 20)
    await state.settle(await granted(state, a_period(amount=60, ends=TOMORROW)), {"budget": 60})
    held = await fill(state, a_lease(limit=3), 2)
    await state.standings(["budget"])
    server.kill()
    await fill(state, a_window(limit=50), 30)
    await refused(state, a_window(limit=50))
    shortage = await refused(state, a_period(amount=41, ends=TOMORROW))
    assert shortage.degraded
    await granted(state, a_period(amount=40, ends=TOMORROW))
    await granted(state, a_lease(limit=3))
    await refused(state, a_lease(limit=3))
    await state.settle(held[0])
    await granted(state, a_lease(limit=3))


async def test_two_gateways_share_what_was_left(server: RedisServer, connect: Connect) -> None:
    one, two = await connect(), await connect()
    await until(lambda: one._sight.living == two._sight.living == 2)
    await fill(one, a_window(limit=50), 15)
    await fill(two, a_window(limit=50), 15)
    await granted(one, a_window(limit=50))
    await granted(two, a_window(limit=50))
    server.kill()
    admitted = 0
    for state in (one, two):
        decisions = [await state.acquire([a_window(limit=50)]) for _ in range(50)]
        admitted += sum(isinstance(one, Grant) for one in decisions)
    assert 16 <= admitted <= 18


async def test_what_was_admitted_and_spent_without_redis_is_told_to_it(server: RedisServer, connect: Connect) -> None:
    state = await connect()
    await state.settle(await granted(state, a_period(amount=30, ends=TOMORROW)), {"budget": 30})
    await state.standings(["budget"])
    server.kill()
    await fill(state, a_window(limit=10), 4)
    ended = await granted(state, a_period(amount=20, ends=TOMORROW), a_window("tokens", limit=100, amount=50))
    grown = await state.extend(ended, [a_period(amount=5, ends=TOMORROW)])
    assert isinstance(grown, Grant)
    assert grown.degraded
    await state.settle(ended, {"budget": 24, "tokens": 5})
    open_still = await granted(state, a_period(amount=20, ends=TOMORROW), a_lease(limit=5))
    server.start()
    await until(lambda: state.degraded is None and not state.pending)
    other = await connect()
    assert await other.standings(["budget"]) == [Standing(54, 20)]
    assert (await granted(other, a_window(limit=10))).quotas[0].remaining == 5
    assert (await granted(other, a_window("tokens", limit=100))).quotas[0].remaining == 94
    assert (await granted(other, a_lease(limit=5))).quotas[0].remaining == 3
    await state.settle(open_still, {"budget": 1})
    await state.standings([])
    assert await other.standings(["budget"]) == [Standing(55, 0)]


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
async def test_after_a_flush_budgets_and_places_are_what_they_were(
    server: RedisServer, connect: Connect, command: str
) -> None:
    state = await connect()
    await state.resume([a_period(amount=50, ends=TOMORROW)])
    await state.settle(await granted(state, a_period(amount=20, ends=TOMORROW)), {"budget": 20})
    held = await granted(state, a_lease(limit=2))
    await state.standings(["budget"])
    server.call(command)
    await refused(state, a_period(amount=31, ends=TOMORROW))
    await granted(state, a_period(amount=30, ends=TOMORROW))
    await until(lambda: not state.pending)
    other = await connect()
    assert (await other.standings(["budget"]))[0].spent == 70
    await granted(other, a_lease(limit=2))
    await refused(other, a_lease(limit=2))
    await state.settle(held)
    await state.standings([])
    await granted(other, a_lease(limit=2))


async def test_a_stream_goes_on_over_a_flush(server: RedisServer, connect: Connect) -> None:
    state = await connect()
    grant = await granted(state, a_period(amount=10, ends=TOMORROW))
    server.call("FLUSHALL")
    grown = await state.extend(grant, [a_period(amount=5, ends=TOMORROW)])
    assert isinstance(grown, Grant)
    assert grown.quotas[0].held == 15
    await state.settle(grant, {"budget": 12})
    assert await state.standings(["budget"]) == [Standing(12, 0)]


async def test_a_restart_with_an_empty_redis_goes_on_with_what_was_spent(server: RedisServer, connect: Connect) -> None:
    state = await connect()
    await state.settle(await granted(state, a_period(amount=90, ends=TOMORROW)), {"budget": 90})
    await state.standings(["budget"])
    server.kill()
    await refused(state, a_period(amount=11, ends=TOMORROW))
    server.start()
    await until(lambda: state.degraded is None)
    shortage = await refused(state, a_period(amount=11, ends=TOMORROW))
    assert not shortage.degraded
    assert shortage.quotas[0].spent == 90


async def test_a_replica_that_took_over_too_early_is_put_right(server: RedisServer, connect: Connect) -> None:
    """It knows the budget as it was some settlements ago."""
    state = await connect()
    await state.settle(await granted(state, a_period(amount=90, ends=TOMORROW)), {"budget": 90})
    await state.standings(["budget"])
    [key] = server.call("KEYS", "*counter:budget")
    server.call("HSET", key, "spent", "40")
    assert (await refused(state, a_period(amount=11, ends=TOMORROW))).quotas[0].spent == 90


async def test_a_script_cache_that_was_lost_costs_nobody_anything(server: RedisServer, connect: Connect) -> None:
    state = await connect()
    await granted(state, a_window(limit=2))
    server.call("SCRIPT", "FLUSH")
    assert not (await granted(state, a_window(limit=2))).degraded
    await refused(state, a_window(limit=2))


@pytest.mark.parametrize(
    "ills, cure, said",
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "used memory > 'maxmemory'"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only replica"),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "3"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            "Not enough good replicas",
        ),
    ],
    ids=["OOM", "READONLY", "NOREPLICAS"],
)
async def test_a_redis_that_does_not_write_is_gone_without(
    server: RedisServer, connect: Connect, ills: tuple[str, ...], cure: tuple[str, ...], said: str
) -> None:
    state = await connect()
    grant = await granted(state, a_window(limit=5), a_lease(limit=2), a_period(amount=9, ends=TOMORROW))
    server.call(*ills)
    for _ in range(4):
        assert (await granted(state, a_window(limit=5))).degraded
    assert isinstance(await state.acquire([a_window(limit=5)]), Shortage)
    await state.settle(grant, {"budget": 5})
    assert state.degraded is not None
    assert said in state.degraded
    server.call(*cure)
    await until(lambda: state.degraded is None and not state.pending)
    assert await state.standings(["budget"]) == [Standing(5, 0)]
    await refused(state, a_window(limit=5))
    await fill(state, a_lease(limit=2), 2)


async def test_a_gateway_starts_without_redis_and_takes_it_when_it_comes(server: RedisServer, connect: Connect) -> None:
    server.kill()
    state = await connect()
    await state.resume([a_period(amount=95, ends=TOMORROW)])
    assert (await granted(state, a_period(amount=5, ends=TOMORROW))).degraded
    await refused(state, a_period(amount=1, ends=TOMORROW))
    server.start()
    await until(lambda: state.degraded is None and not state.pending)
    assert await state.standings(["budget"]) == [Standing(95, 5)]


async def test_a_key_that_somebody_else_has_written_costs_nobody_else(server: RedisServer, connect: Connect) -> None:
    state = await connect(timeout_seconds=20.0)
    await granted(state, a_window("other"))
    server.call("SET", "aiogate:{state}:counter:requests", "a text")
    assert (await granted(state, a_window())).degraded
    await until(lambda: state.degraded is None)
    assert not (await granted(state, a_window("other"))).degraded
