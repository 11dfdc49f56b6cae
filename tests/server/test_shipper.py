"""Shipping the journal: every record is in the stream, and the fleet's sums are the journals', whatever Redis does.

``AIOGATE_OUTAGE_CALLS=20000`` makes an outage as long as an hour.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
import pytest
from click.testing import CliRunner

from aiogate.cli.usage import usage
from aiogate.journal.reader import records
from aiogate.journal.sealed import open_segment
from aiogate.journal.segment import segments
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.state.redis_server import RedisServer, redis_server

SECONDS = 120
CALLS = int(os.environ.get("AIOGATE_OUTAGE_CALLS", "40"))
"""So many calls come while Redis is away; 20000 are an hour of 5 or 6 in a second."""
PRICE = {"agent": "support", "call_usd": 0.001}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@attrs.define
class Fleet:
    """Gateways with a journal each, and the Redis that these are shipped to."""

    server: RedisServer
    gateways: list[RunningGateway]
    client: aiohttp.ClientSession

    async def call(self, number: int, times: int = 1) -> None:
        for _ in range(times):
            async with self.client.get(f"{self.gateways[number].url}/agents/support/x") as response:
                assert response.status == 200

    async def verbose(self, number: int) -> Any:
        async with self.client.get(f"{self.gateways[number].admin_url}/readyz?verbose") as response:
            return (await response.json())["shipping"]

    async def metric(self, number: int, name: str) -> float:
        async with self.client.get(f"{self.gateways[number].admin_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(name))

    async def shipped(self) -> None:
        """Return once nothing waits."""
        async with asyncio.timeout(SECONDS):
            while not await asyncio.to_thread(self.has_shipped):
                await asyncio.sleep(0.02)
        for number in range(len(self.gateways)):
            await self.until(number, behind=0, trouble=None)

    def has_shipped(self) -> bool:
        shippers = [(one.gateway.house.shipper, one.directory / "journal") for one in self.gateways]
        return all(one and one.has_all_of(path) for one, journal in shippers for path in segments(journal))

    async def until(self, number: int, **wanted: Any) -> None:
        async with asyncio.timeout(SECONDS):
            while True:
                said = await self.verbose(number)
                if all(said[name] == value for name, value in wanted.items()):
                    return
                await asyncio.sleep(0.02)

    async def stream(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(stream_of, self.server)

    def journaled(self, number: int) -> list[dict[str, Any]]:
        return list(records(self.gateways[number].directory / "journal", actions=True))

    async def usage(self, *arguments: str) -> Any:
        config = str(self.gateways[0].directory / "gateway.toml")
        asked = ["--config", config, "--fleet", "--json", *arguments]
        result = await asyncio.to_thread(CliRunner().invoke, usage, asked)
        assert result.exit_code == 0, result.output
        return orjson.loads(result.stdout)


def stream_of(server: RedisServer) -> list[dict[str, Any]]:
    with server.client() as client:
        return [fields for _, fields in client.xrange("aiogate:{journal}:stream")]


def config_of(url: str, server: RedisServer) -> dict[str, Any]:
    return {
        "server": {"anonymous": True},
        "state": {"url": server.url},
        "pipeline": {"plugins": ["breaker", "cost"]},
        "plugins": {"cost": {"published_prices": False, "price": [PRICE]}},
        "agents": {"support": {"url": url}},
    }


@pytest.fixture
async def fleet(server: RedisServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as running:
        agent = await running.enter_async_context(fake_agent())
        client = await running.enter_async_context(aiohttp.ClientSession())
        gateways = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            config = config_of(agent.url, server)
            gateways.append(await running.enter_async_context(running_gateway(config, tmp_path / name)))
        yield Fleet(server, gateways, client)


async def test_all_records_arrive_in_order_and_the_fleet_sums_up_to_them(fleet: Fleet) -> None:
    await asyncio.gather(fleet.call(0, 30), fleet.call(1, 20))
    operator = f"{fleet.gateways[0].admin_url}/api/breaker/support/reset?actor=alice&reason=test"
    async with fleet.client.post(operator) as response:
        assert response.status == 200
    await fleet.shipped()
    stream = await fleet.stream()
    sources = {entry["source"] for entry in stream}
    assert len(sources) == 2
    ordered = [[orjson.loads(entry["record"]) for entry in stream if entry["source"] == source] for source in sources]
    journals = await asyncio.to_thread(lambda: [fleet.journaled(number) for number in (0, 1)])
    assert sorted(ordered, key=len) == sorted(journals, key=len)
    ids = [entry["id"] for entry in stream]
    assert len(set(ids)) == len(ids) == 51
    assert [one["action"] for one in journals[0] if one.get("kind") == "action"] == ["breaker.reset"]
    assert {entry["id"] for entry in stream} >= {one["request_id"] for one in journals[0] if "request_id" in one}
    said = await fleet.usage()
    assert (said["total"]["calls"], said["total"]["cost_nanousd"]) == (50, 50_000_000)
    assert await fleet.metric(0, "aiogate_journal_unshipped_records ") == 0
    assert await fleet.metric(0, "aiogate_journal_shipped_records_total ") == 31


async def test_the_sums_that_are_shipped_are_not_read_again_where_they_are_known(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.call(0, 1)
    await fleet.shipped()  # from now on sums are kept
    read = list[Path]()

    def noted(path: Path, position: int = 0) -> object:
        read.append(path)
        return open_segment(path, position)

    monkeypatch.setattr("aiogate.journal.totals.open_segment", noted)
    await fleet.call(0, 20)
    await fleet.shipped()
    said = await fleet.usage()
    assert (said["total"]["calls"], said["total"]["cost_nanousd"]) == (21, 21_000_000)
    assert not read


async def test_nothing_is_lost_while_redis_is_away(fleet: Fleet) -> None:
    """Not even when it comes back with nothing: the sums are told again, and what waited is shipped."""
    await fleet.call(0, 3)
    await fleet.shipped()
    await asyncio.to_thread(fleet.server.kill)
    await asyncio.gather(*(fleet.call(0, CALLS // 4) for _ in range(4)), fleet.call(1, 10))
    await fleet.until(0, behind=CALLS)
    await fleet.until(1, behind=10)
    async with asyncio.timeout(SECONDS):
        while not (await fleet.verbose(0))["trouble"]:
            await asyncio.sleep(0.02)
    assert await fleet.metric(0, "aiogate_journal_unshipped_records ") == CALLS
    assert await fleet.metric(0, "aiogate_journal_shipping_failing ") == 1
    await asyncio.to_thread(fleet.server.start)
    await fleet.shipped()
    assert len({entry["id"] for entry in await fleet.stream()}) == CALLS + 10
    assert (await fleet.usage())["total"]["calls"] == CALLS + 13


async def test_a_flushed_redis_is_told_again_what_all_journals_sum_up_to(fleet: Fleet) -> None:
    await fleet.call(0, 3)
    await fleet.call(1, 2)
    await fleet.shipped()
    before = await fleet.usage("--by", "hour,agent")
    await asyncio.to_thread(fleet.server.call, "FLUSHALL")
    assert (await fleet.usage())["total"]["calls"] == 0
    async with asyncio.timeout(SECONDS):
        while await fleet.usage("--by", "hour,agent") != before:
            await asyncio.sleep(0.1)
    await fleet.call(0)
    await fleet.shipped()
    assert (await fleet.usage())["total"]["calls"] == 6


async def test_what_redis_had_acknowledged_and_lost_is_shipped_again(fleet: Fleet) -> None:
    """As after a failover to a replica that lagged behind."""
    await fleet.call(0, 5)
    await fleet.shipped()
    with fleet.server.client() as client:
        [place] = [key for key in client.scan_iter("aiogate:{journal}:source:*") if len(client.hgetall(key)) > 1]
        segment = next(name for name in client.hgetall(place) if name.startswith("at:"))
        client.hset(place, segment, 0)
        client.delete("aiogate:{journal}:stream")
    await fleet.call(0)
    await fleet.shipped()
    async with asyncio.timeout(SECONDS):
        while len(await fleet.stream()) != 6:
            await asyncio.sleep(0.02)
    assert (await fleet.usage())["total"]["calls"] == 6


async def test_of_two_processes_with_one_journal_one_ships_for_both_and_the_other_goes_on(
    server: RedisServer, tmp_path: Path
) -> None:
    """As workers of one machine do."""
    async with fake_agent() as agent, aiohttp.ClientSession() as client, AsyncExitStack() as running:
        config = config_of(agent.url, server) | {"journal": {"dir": str(tmp_path / "journal")}}
        gateways = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            gateways.append(await running.enter_async_context(AsyncExitStack()))
            gateway = await gateways[-1].enter_async_context(running_gateway(config, tmp_path / name))
            fleet = Fleet(server, [gateway], client)
            await fleet.call(0, 2)
            if name == "one":
                await fleet.until(0, ships=True, behind=0, shipped=2)
        assert not (await fleet.verbose(0))["ships"]
        await gateways[0].aclose()
        await fleet.until(0, ships=True, behind=0)
        await fleet.call(0, 1)
        async with asyncio.timeout(SECONDS):
            while len(ids := [entry["id"] for entry in await fleet.stream()]) < 5:
                await asyncio.sleep(0.02)
        assert len(set(ids)) == 5
        assert len({entry["source"] for entry in await fleet.stream()}) == 1
        assert (await fleet.usage())["total"]["calls"] == 5


async def test_one_journal_alone_is_no_fleet(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("")
    result = await asyncio.to_thread(CliRunner().invoke, usage, ["--config", str(path), "--fleet"])
    assert result.exit_code == 1
    assert "there is no fleet" in str(result.exception)
