"""``breaker`` of three gateways on one Redis: what one does all do, and of all callers one is the probe."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from aiogate.builtin.breaker import Breaker, Phase
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway
from tests.builtin.test_breaker_gateway import Moody, Now, config, fail, get
from tests.state.redis_server import RedisServer, redis_server

SECONDS = 30
WITHIN_SECONDS = 1.5
"""A second, and what a machine takes that others use too."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@attrs.define
class Fleet:
    """Three gateways with one clock, and their agent."""

    gateways: list[RunningGateway]
    agent: FakeAgent
    moody: Moody
    now: Now
    client: aiohttp.ClientSession

    def breaker(self, number: int) -> Breaker:
        breaker = self.gateways[number].gateway.pipeline.plugins["breaker"]
        assert isinstance(breaker, Breaker)
        return breaker

    def phases(self) -> list[Phase]:
        return [
            next((status.phase for status in self.breaker(number).statuses()), Phase.CLOSED)
            for number in range(len(self.gateways))
        ]

    async def all_are(self, phase: Phase) -> None:
        await until(lambda: self.phases() == [phase] * len(self.gateways))


async def until(holds: Callable[[], bool], seconds: float = WITHIN_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.002)


def folder_of(path: Path, name: str) -> Path:
    folder = path / name
    folder.mkdir()
    return folder


@pytest.fixture
async def fleet(server: RedisServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    if server.process is None:
        server.start()
    server.call("FLUSHALL")
    now, moody = Now(), Moody()
    async with AsyncExitStack() as running:
        agent = await running.enter_async_context(fake_agent(moody))
        client = await running.enter_async_context(aiohttp.ClientSession())
        gateways = []
        for number in range(3):
            table: dict[str, Any] = {**config(agent), "state": {"url": server.url, "timeout_seconds": 5.0}}
            gateways.append(
                await running.enter_async_context(
                    running_gateway(table, folder_of(tmp_path, str(number)), clock=now.clock())
                )
            )
        async with asyncio.timeout(SECONDS):
            yield Fleet(gateways, agent, moody, now, client)


async def test_what_one_opens_all_open_and_what_a_probe_closes_all_close(fleet: Fleet) -> None:
    """One that starts later knows too, and for how long. In half-open of thirty callers one reaches the agent."""
    await fail(fleet.client, fleet.gateways[0])
    await fleet.all_are(Phase.OPEN)
    for gateway in fleet.gateways:
        assert await get(fleet.client, gateway) == (503, "30")
    assert len(fleet.agent.seen) == 5
    fleet.now.seconds += 30
    fleet.moody.holds = True
    callers = [asyncio.create_task(get(fleet.client, gateway)) for gateway in fleet.gateways * 10]
    await until(lambda: sum(caller.done() for caller in callers) == len(callers) - 1, SECONDS)
    refused = Counter(caller.result() for caller in callers if caller.done())
    assert refused == {(503, "1"): len(callers) - 1}
    await until(lambda: len(fleet.agent.seen) == 6)
    fleet.moody.may_answer.set()  # with a 500: all open for twice as long, less a fifth at most
    await asyncio.gather(*callers)
    assert len(fleet.agent.seen) == 6
    await fleet.all_are(Phase.OPEN)
    waits = {round(fleet.breaker(number).statuses()[0].retry_after_seconds) for number in range(3)}
    assert min(waits) >= 48 - WITHIN_SECONDS
    assert max(waits) - min(waits) <= WITHIN_SECONDS
    fleet.now.seconds += 60
    fleet.moody.status = 200
    assert await get(fleet.client, fleet.gateways[1]) == (200, None)
    await fleet.all_are(Phase.CLOSED)
    for gateway in fleet.gateways:
        assert await get(fleet.client, gateway) == (200, None)
    assert sum(status.openings for number in range(3) for status in fleet.breaker(number).statuses()) == 2


async def test_what_an_operator_says_of_one_is_said_to_all_and_to_one_that_starts_later(
    fleet: Fleet, server: RedisServer, tmp_path: Path
) -> None:
    fleet.breaker(0).open("moody", actor="alice", reason="deploy")
    await fleet.all_are(Phase.HELD_OPEN)
    assert {fleet.breaker(number).statuses()[0].actor for number in range(3)} == {"alice"}
    table: dict[str, Any] = {**config(fleet.agent), "state": {"url": server.url}}
    async with running_gateway(table, folder_of(tmp_path, "late"), clock=fleet.now.clock()) as late:
        assert (await get(fleet.client, late))[0] == 503
    assert not fleet.agent.seen
    fleet.breaker(1).close("moody", actor="bob", reason="done")
    await fleet.all_are(Phase.HELD_CLOSED)
    await fail(fleet.client, fleet.gateways[2], 6)
    fleet.breaker(2).reset("moody", actor="bob", reason="done")
    await fleet.all_are(Phase.CLOSED)
    await fail(fleet.client, fleet.gateways[2])
    await fleet.all_are(Phase.OPEN)


async def test_without_redis_each_judges_by_itself_and_tells_the_others_when_it_is_back(
    fleet: Fleet, server: RedisServer
) -> None:
    await asyncio.to_thread(server.kill)
    await fail(fleet.client, fleet.gateways[0])
    assert fleet.phases() == [Phase.OPEN, Phase.CLOSED, Phase.CLOSED]
    fleet.now.seconds += 30
    fleet.moody.status = 200
    assert await get(fleet.client, fleet.gateways[0]) == (200, None)
    fleet.moody.status = 500
    await fail(fleet.client, fleet.gateways[0])
    await asyncio.to_thread(server.start)
    await until(lambda: fleet.phases() == [Phase.OPEN] * 3, SECONDS)


async def test_a_reload_leaves_the_circuits_shared(fleet: Fleet, server: RedisServer) -> None:
    """The plugin is another one from then on; it says and hears what the one before did."""
    await fail(fleet.client, fleet.gateways[0], 4)
    before = fleet.breaker(0)
    fleet.gateways[0].configure({**config(fleet.agent, window_seconds=50), "state": {"url": server.url}})
    assert (await fleet.gateways[0].gateway.reloads.reload("test")).successful
    assert fleet.breaker(0) is not before
    await fail(fleet.client, fleet.gateways[0], 1)
    await fleet.all_are(Phase.OPEN)
    fleet.breaker(1).reset("moody", actor="alice", reason="")
    await fleet.all_are(Phase.CLOSED)
