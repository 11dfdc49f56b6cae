"""Counters in a real cluster of three masters: shared over its slots, given back, and followed where slots go."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import pytest
from redis.asyncio.connection import Connection

from aiogate.claims import Claim, Grant, Shortage, Standing
from aiogate.exchange import Clock
from aiogate.state.redis.board import RedisBoard
from aiogate.state.redis.central import Central
from aiogate.state.redis.cluster import PARTS, ClusterState, tag_of
from aiogate.state.redis.places import slot_of
from tests.state.asking import fill, granted, refused
from tests.state.redis.conftest import until
from tests.state.redis_cluster import Cluster, redis_cluster
from tests.state.ticking import a_lease, a_period, a_window

TOMORROW = time.time() + 86400
PATIENT_SECONDS = 20.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with redis_cluster() as running:
        yield running


@pytest.fixture
async def state(cluster: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[ClusterState]:
    made = a_state(cluster, request.node.name)
    await made.open()
    yield made
    await made.close()


def a_state(cluster: Cluster, name: str, timeout_seconds: float = PATIENT_SECONDS) -> ClusterState:
    prefix = "".join(letter for letter in name if letter.isalnum())[:40] + ":"
    return ClusterState(cluster.url, Clock(), prefix=prefix, timeout_seconds=timeout_seconds)


def everywhere(limit: int = 10) -> list[Claim]:
    """Return claims of which each part has some."""
    return [a_window(f"w{number}", limit=limit) for number in range(4 * PARTS)]


def part_of(state: ClusterState, counter: str) -> int:
    [(part, _)] = state._by_part([counter])
    return state._parts.index(part)


def of_part(state: ClusterState, part: int, limit: int = 100) -> Claim:
    return next(claim for claim in everywhere(limit) if part_of(state, claim.counter) == part)


async def test_parts_are_spread_evenly_over_the_slots_and_so_over_the_masters(
    state: ClusterState, cluster: Cluster
) -> None:
    assert [slot_of(tag_of(part)) * PARTS // 16384 for part in range(PARTS)] == list(range(PARTS))
    grant = await granted(state, *everywhere())
    assert [quota.claim for quota in grant.quotas] == everywhere()
    assert {quota.remaining for quota in grant.quotas} == {9}
    assert all(node.call("DBSIZE") > 0 for node in cluster.nodes)


async def test_what_earlier_parts_gave_is_given_back_when_a_later_one_falls_short(state: ClusterState) -> None:
    last = of_part(state, PARTS - 1, limit=1)
    claims = [of_part(state, part) for part in range(PARTS - 1)]
    lease, period = a_lease(limit=1), a_period("budget", limit=10, amount=10, ends=TOMORROW)
    await granted(state, last)
    shortage = await refused(state, *claims, lease, period, last)
    assert shortage.claim == last
    assert shortage.retry_after_seconds > 50
    assert {quota.remaining for quota in shortage.quotas} <= {100, 1, 10, 0}
    assert await state.standings(["budget", "nobody"]) == [Standing(0, 0), Standing(0, 0)]
    grant = await granted(state, *claims, lease, period)
    assert {quota.remaining for quota in grant.quotas} == {99, 0}
    await state.settle(grant, {"budget": 7})
    await granted(state, lease)
    assert (await state.standings(["budget"]))[0].spent == 7
    assert state.open_grants == 2


async def test_concurrent_callers_of_two_gateways_never_pass_a_limit(state: ClusterState, cluster: Cluster) -> None:
    """Of those who came too late some may have been in the way of others for a moment: nobody else was refused."""
    other = a_state(cluster, "test_concurrent_callers_of_two_gateways_never_pass_a_limit")
    await other.open()
    tight = [a_window(f"tight{number}", limit=20 + number) for number in range(6)]
    decisions = await asyncio.gather(*(one.acquire(tight) for one in (state, other) for _ in range(50)))
    assert sum(isinstance(one, Grant) for one in decisions) <= 20
    while isinstance(last := await state.acquire(tight), Grant):
        decisions.append(last)
    assert sum(isinstance(one, Grant) for one in decisions) == 20
    left = await granted(other, *(attrs.evolve(claim, limit=100) for claim in tight[1:]))
    assert [quota.remaining for quota in left.quotas] == [100 - 20 - 1] * 5
    await other.close()


async def test_a_stream_holds_more_of_several_parts(state: ClusterState) -> None:
    claims = [a_period(f"b{number}", amount=10, ends=TOMORROW) for number in range(6)]
    grant = await granted(state, *claims)
    grown = await state.extend(grant, claims)
    assert isinstance(grown, Grant)
    assert {quota.held for quota in grown.quotas} == {20}
    last = max(claims, key=lambda claim: part_of(state, claim.counter))
    greedy = [attrs.evolve(claim, amount=90) if claim is last else claim for claim in claims]
    assert isinstance(await state.extend(grant, greedy), Shortage)
    assert set(await state.standings([claim.counter for claim in claims])) == {Standing(0, 20)}
    await state.settle(grant, dict.fromkeys((claim.name for claim in claims), 15))
    assert set(await state.standings([claim.counter for claim in claims])) == {Standing(15, 0)}
    assert await state.extend(grant, claims) is None
    await state.resume([a_period("b0", amount=90, ends=TOMORROW), a_period("fresh", amount=90, ends=TOMORROW)])
    assert await state.standings(["b0", "fresh"]) == [Standing(15, 0), Standing(90, 0)]


async def test_a_slot_that_has_moved_is_followed(state: ClusterState, cluster: Cluster) -> None:
    claim = of_part(state, 3)
    await fill(state, claim, 5)
    slot = slot_of(tag_of(3))
    there = cluster.nodes[2]
    here = cluster.begin_move(slot, there)
    cluster.move_keys(here, there, cluster.keys(slot))
    cluster.end_move(slot, there)
    grant = await granted(state, claim)
    assert (grant.degraded, grant.quotas[0].remaining) == (False, 94)


async def test_a_slot_on_its_way_is_asked_where_its_keys_are(
    state: ClusterState, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ASK`` where all have gone, ``TRYAGAIN`` where some have: that exchange waits until the rest has."""
    sent = Counter[str]()
    send = Connection.send_command

    async def counted(connection: Connection, *arguments: str) -> None:
        sent[arguments[0]] += 1
        await send(connection, *arguments)

    monkeypatch.setattr(Connection, "send_command", counted)
    claim, other = of_part(state, 9), a_window("other")
    assert part_of(state, "other") != 9
    await fill(state, claim, 5)
    slot = slot_of(tag_of(9))
    there = cluster.nodes[0]
    here = cluster.begin_move(slot, there)
    keys = sorted(cluster.keys(slot))
    cluster.move_keys(here, there, keys[:2])
    waiting = asyncio.create_task(granted(state, claim))
    before = sent["EVALSHA"]
    await until(lambda: sent["EVALSHA"] > before + 2)
    assert not (await granted(state, other)).degraded
    assert not waiting.done()
    cluster.move_keys(here, there, keys[2:])
    assert (await waiting).quotas[0].remaining == 94
    assert sent["ASKING"] > 0
    assert (await granted(state, claim)).quotas[0].remaining == 93
    cluster.end_move(slot, there)
    grant = await granted(state, claim)
    assert (grant.degraded, grant.quotas[0].remaining) == (False, 92)


async def test_a_master_that_dies_costs_its_own_parts_a_moment_and_the_others_nothing() -> None:
    """Its replica takes over while calls run; nobody waits longer than for one Redis."""
    with redis_cluster(replicas=1) as cluster:
        state = a_state(cluster, "failover", timeout_seconds=0.5)
        await state.open()
        claims = [of_part(state, part, limit=10**6) for part in range(PARTS)]
        await state.settle(await granted(state, a_period("budget", amount=60, ends=TOMORROW)), {"budget": 60})
        await granted(state, *claims)
        loop, waited = asyncio.get_running_loop(), list[float]()
        cluster.nodes[0].kill()

        async def called() -> Grant:
            began = loop.time()
            grant = await granted(state, *claims)
            waited.append(loop.time() - began)
            return grant

        assert (await called()).degraded
        assert state.degraded is not None
        away = int(state.degraded.partition(" ")[0])
        assert 1 <= away <= 6
        assert not (await granted(state, claims[-1])).degraded
        async with asyncio.timeout(PATIENT_SECONDS):
            while (await called()).degraded or state.degraded is not None:
                await asyncio.sleep(0.02)
        assert max(waited) < 2.0
        await refused(state, a_period("budget", amount=41, ends=TOMORROW))
        await granted(state, a_period("budget", amount=40, ends=TOMORROW))
        await state.close()


async def test_journals_are_shipped_to_a_cluster_as_to_one_redis(cluster: Cluster) -> None:
    central = Central(cluster.url, prefix="central:", stream_records=100, fleet_days=32)
    row = (1767225600, ("alice", *("" for _ in range(7))), [1, *(0 for _ in range(11))])
    facts: dict[str, Any] = {"start": 0, "end": 10, "records": [("r1", b"{}", 10)], "rows": [row]}
    assert await central.begin("j1", "host", [], {}) is None
    for _ in range(2):
        assert (await central.ship("j1", "host", "1.jsonl", **facts)).is_known
    assert await central.rows("j1", 1767225600, 1767225601) == [row]
    assert [source.id for source in await central.sources()] == ["j1"]
    await central.close()


async def test_the_board_goes_with_its_slot(cluster: Cluster) -> None:
    boards = [RedisBoard(cluster.url, prefix="board:") for _ in range(2)]
    for board in boards:
        await board.open()
    ours, theirs = (board.topic("kills") for board in boards)
    await ours.put("one", b"1")
    await until(lambda: dict(theirs.entries) == {"one": b"1"})
    slot = slot_of("board:{board}:")
    there = next(node for node in cluster.nodes if node is not cluster.owner(slot))
    here = cluster.begin_move(slot, there)
    cluster.move_keys(here, there, cluster.keys(slot))
    cluster.end_move(slot, there)
    await theirs.put("two", b"2")
    await until(lambda: dict(ours.entries) == {"one": b"1", "two": b"2"})
    for board in boards:
        await board.close()


async def test_a_cluster_that_is_not_there_hinders_no_start() -> None:
    state = ClusterState("redis+cluster://127.0.0.1:1", Clock())
    await state.open()
    assert (await granted(state, *everywhere())).degraded
    assert state.degraded is not None
    assert state.degraded.startswith("16 of 16 parts: no node of the cluster answers: ")
    await state.close()
