"""The plugin in a real gateway, in front of a fake agent."""

from pathlib import Path

import aiohttp
import pytest

from aiogate.testing import fake_agent, running_gateway


@pytest.mark.parametrize(
    ("settings", "path", "status", "words"),
    [
        ({"greeting": "Good day"}, "/hello", 200, "Good day, anonymous!"),
        ({"unwelcome": ["anonymous"]}, "/hello", 403, "anonymous is not welcome here"),
        ({}, "/other", 200, '"target":"/other"'),
    ],
)
async def test_who_is_greeted_and_who_is_refused(
    settings: dict[str, object], path: str, status: int, words: str, tmp_path: Path
) -> None:
    async with fake_agent() as agent:
        config = {
            "server": {"anonymous": True},
            "pipeline": {"plugins": ["hello"]},
            "plugins": {"hello": settings},
            "agents": {"echo": {"url": agent.url}},
        }
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as client:
            async with client.get(f"{gateway.url}/agents/echo{path}") as response:
                assert response.status == status
                assert words in await response.text()
        assert len(agent.seen) == (path == "/other")
