"""Three gateways on three hosts and one Redis on a fourth; one host is cut off from the others, and comes back."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import tomli_w
from aiohttp import web

from tests.e2e.hosts import Host, Network, network, why_not
from tests.state.redis_server import binary

SECONDS = 60
LIMIT = 100
GATEWAYS = 3
COMMAND = (sys.executable, "-c", "from aiogate.cli import main; main()", "serve")
REDIS = ("--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "")


def config(redis: Host) -> dict[str, Any]:
    """Three agents, each with a limit over the whole fleet."""
    names = ("before", "meanwhile", "after")
    return {
        "server": {"listen": "127.0.0.1:8080", "anonymous": True, "access_log": "off", "grace_seconds": 1},
        "admin": {"listen": "127.0.0.1:9090"},
        "journal": {"dir": "journal"},
        "state": {"url": f"redis://{redis.address}", "timeout_seconds": 2.0},  # longer than a busy machine stops
        "pipeline": {"plugins": ["limits"]},
        "agents": {name: {"url": "http://127.0.0.1:8001", "rate_limit": f"{LIMIT}/minute"} for name in names},
    }


@attrs.define(eq=False)
class Gateway:
    """One of the fleet, and who calls it on its own host."""

    host: Host
    client: aiohttp.ClientSession

    async def call(self, agent: str) -> int:
        async with self.client.get(f"http://127.0.0.1:8080/agents/{agent}/x") as response:
            await response.read()
            return response.status

    async def calls(self, agent: str, times: int) -> Counter[int]:
        return Counter(await asyncio.gather(*(self.call(agent) for _ in range(times))))

    async def says(self) -> dict[str, Any]:
        try:
            async with self.client.get("http://127.0.0.1:9090/readyz?verbose") as response:
                return dict(await response.json())
        except aiohttp.ClientConnectionError:
            return {}

    async def until(self, **what: Any) -> None:
        """Wait until the gateway says so of itself."""
        async with asyncio.timeout(SECONDS):
            while True:
                said = await self.says()
                if said and all(said[name] == value for name, value in what.items()):
                    return
                await asyncio.sleep(0.02)


@pytest.fixture
def hosts() -> Iterator[Network]:
    if (why := why_not()) is not None:
        pytest.skip(f"NO HOSTS CAN BE MADE HERE, so that nothing is known of a network that is cut: {why}")
    with network(GATEWAYS + 1) as made:
        yield made


@pytest.fixture
async def fleet(hosts: Network, tmp_path: Path) -> AsyncIterator[list[Gateway]]:
    redis, *others = hosts.hosts
    hosts.run(redis, binary(), *REDIS, "--dir", str(tmp_path), log=tmp_path / "redis.log")
    async with AsyncExitStack() as stack:
        made = []
        for host in others:
            folder = tmp_path / host.port
            folder.mkdir()
            path = folder / "gateway.toml"
            path.write_text(tomli_w.dumps(config(redis)))
            hosts.run(host, *COMMAND, str(path), log=folder / "gateway.log")
            runner = web.ServerRunner(web.Server(answer))
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, host.listener(8001)).start()
            connector = aiohttp.TCPConnector(limit=0, socket_factory=host.connecting)
            made.append(Gateway(host, await stack.enter_async_context(aiohttp.ClientSession(connector=connector))))
        await asyncio.gather(*(gateway.until(degraded=None, gateways=GATEWAYS) for gateway in made))
        yield made


async def answer(_request: web.BaseRequest) -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")


async def together(gateways: list[Gateway], agent: str, times: int) -> Counter[int]:
    found = await asyncio.gather(*(gateway.calls(agent, times) for gateway in gateways))
    return sum(found, Counter[int]())


async def test_a_host_that_is_cut_off_admits_its_share_and_the_fleet_its_limit(fleet: list[Gateway]) -> None:
    """All callers come at once. What is admitted apart is told when the host is back, and counts."""
    *connected, lonely = fleet
    assert await together(fleet, "before", 60) == {200: LIMIT, 429: 180 - LIMIT}
    assert await together(fleet, "meanwhile", 15) == {200: 45}
    assert await lonely.call("meanwhile") == 200  # so it has seen that 46 are taken
    lonely.host.cut_off()
    apart, of_the_others = await asyncio.gather(lonely.calls("meanwhile", 60), together(connected, "meanwhile", 60))
    assert of_the_others == {200: LIMIT - 46, 429: 120 - (LIMIT - 46)}
    share = (LIMIT - 46) // GATEWAYS
    assert apart == {200: share, 429: 60 - share}
    assert (await lonely.says())["degraded"] is not None
    assert [(await gateway.says())["degraded"] for gateway in connected] == [None, None]
    lonely.host.heal()
    await lonely.until(degraded=None)
    assert await together(fleet, "meanwhile", 5) == {429: 15}
    assert await together(fleet, "after", 60) == {200: LIMIT, 429: 180 - LIMIT}
