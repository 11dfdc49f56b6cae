"""Each operation counts once: with answers that get lost, callers who leave, holders who die, and many processes."""

import asyncio
import json
import random
import subprocess
import sys
import time

import pytest

from aiogate.claims import Grant, Standing
from aiogate.exchange import Clock
from aiogate.state.redis import RedisState, batches
from aiogate.state.redis.scripts import source
from tests.state.asking import fill, granted, refused
from tests.state.redis.conftest import Connect, until
from tests.state.redis.lossy import lossy
from tests.state.redis_server import RedisServer
from tests.state.ticking import Ticking, a_lease, a_period, a_window

TOMORROW = time.time() + 86400
LARGE = 10**12
EXCHANGES = 100


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_gets_lost_on_the_way_what_is_spent_is_spent_once(
    server: RedisServer, connect: Connect, seed: int
) -> None:
    turn = random.Random(seed)
    spent = rounds = 0

    async def exchange(state: RedisState) -> None:
        nonlocal spent
        window = a_window(str(rounds), limit=1000)
        for _ in range(turn.randrange(20)):
            await asyncio.sleep(0.001)
        claims = a_period(limit=LARGE, amount=50, ends=TOMORROW), a_lease(limit=LARGE), window
        grant = await granted(state, *claims)
        if turn.random() < 0.3:
            await state.extend(grant, [a_period(limit=LARGE, amount=30, ends=TOMORROW)])
        for _ in range(turn.randrange(20)):
            await asyncio.sleep(0.001)
        amount = turn.randrange(100)
        spent += amount
        await state.settle(grant, {"budget": amount})

    async with lossy(server.port, seed) as way:
        state = RedisState(way.url, Clock())
        await state.open()
        way.loses = 0.2
        while way.lost < 8 or way.unheard < 3:
            await until(lambda: state.degraded is None)
            await asyncio.gather(*(exchange(state) for _ in range(EXCHANGES)))
            rounds += 1
        way.loses = 0.0
        await until(lambda: state.degraded is None and not state.pending)
        await state.close()
    other = await connect(timeout_seconds=20.0)
    assert await other.standings(["budget"]) == [Standing(spent, 0)]
    assert (await granted(other, a_lease(limit=5))).quotas[0].remaining == 4
    windows = await granted(other, *(a_window(str(number), limit=1000) for number in range(rounds)))
    assert {quota.remaining for quota in windows.quotas} == {1000 - EXCHANGES - 1}


def test_a_batch_that_comes_through_after_a_later_one_does_nothing(server: RedisServer) -> None:
    """As one may that waits in the socket of a server which did not answer in time."""
    keys = ["gateway", "gateways", "counter", "counter:log"]
    row = [3, "w", 10, 60_000_000, 1, 0, 0, "", 0]
    with server.client() as client:
        evaluate = client.register_script(source())

        def send(number: int) -> list[object]:
            return evaluate(keys, [json.dumps([number, -1, [["acquire", 0, "1", [row]]]])])

        send(7)
        assert send(6) == [7]
        assert send(7) == [7]
        assert client.hget("counter", "held") == "1"
        send(8)
        assert client.hget("counter", "held") == "2"


async def test_a_caller_who_leaves_while_redis_decides_takes_nothing(server: RedisServer, connect: Connect) -> None:
    state = await connect(timeout_seconds=20.0)
    await state.standings([])  # nothing else is under way
    server.call("CLIENT", "PAUSE", "100", "ALL")
    claims = a_lease(limit=1), a_window(limit=1), a_period(limit=1, ends=TOMORROW)
    leaving = [asyncio.create_task(state.acquire([claim])) for claim in claims]
    await asyncio.sleep(0.01)
    for caller in leaving:
        caller.cancel()
    await asyncio.wait(leaving)
    await granted(state, a_window("another"))
    await granted(state, *claims)


async def test_places_of_a_gateway_that_died_come_back_and_those_of_one_that_lives_do_not(
    connect: Connect,
) -> None:
    ticking = Ticking()
    dead, alive, other = [(await connect(ticking.clock())).at(ticking.clock().wall) for _ in range(3)]
    await granted(dead, a_lease(limit=3))
    held = await granted(alive, a_lease(limit=3))
    ticking.now += 3000
    alive._renew()
    await alive.standings([])
    ticking.now += 3000
    assert (await granted(other, a_lease(limit=3))).quotas[0].remaining == 1
    alive._renew()
    await alive.settle(held)
    await alive.standings([])
    await fill(other, a_lease(limit=3), 2)
    await refused(other, a_lease(limit=3))


async def test_what_a_gateway_holds_is_renewed_by_itself(server: RedisServer, connect: Connect) -> None:
    state = await connect()
    await granted(state, a_lease(limit=1))
    [log] = server.call("KEYS", "*streams:log")
    [(_, first)] = await asyncio.to_thread(server.client().zrange, log, 0, -1, withscores=True)
    state._renew_due = 0.0
    async with asyncio.timeout(20):
        while server.client().zrange(log, 0, -1, withscores=True)[0][1] == first:
            await asyncio.sleep(0.05)


async def test_more_than_can_be_kept_costs_windows_and_no_budget(
    server: RedisServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_MOST_PENDING", 40)
    state = await connect()
    server.kill()
    for _ in range(200):
        grant = await granted(state, a_window(limit=1000), a_period(limit=1000, amount=2, ends=TOMORROW))
        await state.settle(grant, {"budget": 3})
    assert state.pending <= 41
    server.start()
    await until(lambda: state.degraded is None and not state.pending)
    assert await state.standings(["budget"]) == [Standing(600, 0)]


async def test_keys_go_by_themselves(server: RedisServer, connect: Connect) -> None:
    state = await connect()
    grant = await granted(state, a_window(), a_lease(), a_period(ends=TOMORROW))
    await refused(state, a_window(limit=1), a_period("other", ends=TOMORROW))
    await state.settle(grant, {"budget": 5})
    await state.resume([a_period("resumed", ends=TOMORROW)])
    keys = server.call("KEYS", "*")
    assert all(key.startswith("aiogate:{state}:") for key in keys)
    assert len(keys) >= 6
    assert all(int(server.call("PTTL", key)) > 0 for key in keys)


CLIENT = """
import asyncio, sys
from aiogate.claims import Claim, Counted, Grant
from aiogate.exchange import Clock
from aiogate.state.redis import RedisState

async def main():
    state = RedisState(sys.argv[1], Clock(), timeout_seconds=20.0)
    await state.open()
    print("ready", flush=True)
    sys.stdin.readline()
    claims = [Claim("requests", "requests", Counted.WINDOW, 50, 60.0), Claim("l", "l", Counted.LEASE, 60, 60.0)]
    decisions = await asyncio.gather(*(state.acquire(claims) for _ in range(50)))
    print(sum(isinstance(one, Grant) for one in decisions), flush=True)
    sys.stdin.readline()
    await state.close()

asyncio.run(main())
"""


def test_of_two_hundred_callers_in_four_processes_at_a_limit_of_fifty_exactly_fifty_pass(server: RedisServer) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", CLIENT, server.url]
    clients = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) for _ in range(4)]
    try:
        admitted = 0
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("go\n")
        for client in clients:
            assert client.stdout is not None
            admitted += int(client.stdout.readline())
        assert admitted == 50
    finally:
        for client in clients:
            client.communicate("end\n", timeout=20)


async def test_two_gateways_take_turns_to_the_last_unit_of_a_budget(connect: Connect) -> None:
    states = [await connect(timeout_seconds=20.0) for _ in range(4)]
    claim = a_period(limit=1000, amount=7, ends=TOMORROW)
    decisions = await asyncio.gather(*(state.acquire([claim]) for state in states for _ in range(50)))
    assert sum(isinstance(one, Grant) for one in decisions) == 1000 // 7
