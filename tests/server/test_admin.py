"""The operators' listener: metrics and readiness, on a port of its own."""

from pathlib import Path

import aiohttp

from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous


async def test_metrics_count_exchanges_by_agent_and_outcome(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        await (await client.get(f"{gateway.url}/agents/echo/x")).release()
        await (await client.get(f"{gateway.url}/agents/nobody/x")).release()
        async with client.get(f"{gateway.admin_url}/metrics") as response:
            text = await response.text()
        assert 'aiogate_exchanges_total{agent="echo",outcome="completed",status="200"} 1.0' in text
        assert 'aiogate_exchanges_total{agent="",outcome="refused",status="404"} 1.0' in text


async def test_readiness_is_terse_in_public_and_verbose_for_operators(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        for path in ("/livez", "/readyz", "/healthz"):
            async with client.get(gateway.url + path) as response:
                assert (response.status, await response.json()) == (200, {"status": "ok"})
        async with client.get(f"{gateway.admin_url}/readyz?verbose") as response:
            said = await response.json()
        assert said["checks"] == {"accepting": True, "journal": True, "plugins": True}
        assert said["agents"] == ["echo"]
        async with client.get(f"{gateway.url}/metrics") as response:
            assert response.status == 404
        gateway.gateway.house.stopping = True
        async with client.get(f"{gateway.url}/readyz") as response:
            assert response.status == 503
