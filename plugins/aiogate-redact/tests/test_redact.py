"""What an agent gets to see of a body, in a real gateway."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aiogate.testing import FakeAgent, fake_agent, running_gateway

CARD = "4111 1111 1111 1111"
NO_CARD = "4111 1111 1111 1112"


async def send(body: bytes, tmp_path: Path, headers: dict[str, str], **settings: Any) -> tuple[int, FakeAgent]:
    async with fake_agent() as agent:
        config = {
            "server": {"anonymous": True},
            "pipeline": {"plugins": ["redact"]},
            "plugins": {"redact": settings},
            "agents": {"echo": {"url": agent.url}},
        }
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as client:
            async with client.post(f"{gateway.url}/agents/echo/x", data=body, headers=headers) as response:
                return response.status, agent


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (f'{{"pay": "{CARD}"}}', '{"pay": "[redacted]"}'),
        (f'{{"pay": "{NO_CARD}"}}', f'{{"pay": "{NO_CARD}"}}'),
        ('{"key": "sk-abcdef"}', '{"key": "[redacted]"}'),
        ('{"n": 123}', '{"n": 123}'),
    ],
)
async def test_secrets_are_masked_and_nothing_else(sent: str, seen: str, tmp_path: Path) -> None:
    status, agent = await send(sent.encode(), tmp_path, JSON, patterns=["sk-[a-z]+"])
    assert status == 200
    assert agent.seen[0].body == seen.encode()
    assert agent.seen[0].headers["Content-Length"] == str(len(seen))


async def test_a_body_that_is_too_long_to_look_at_is_refused(tmp_path: Path) -> None:
    status, agent = await send(b"x" * 101, tmp_path, JSON, max_bytes=100)
    assert (status, agent.seen) == (413, [])


@pytest.mark.parametrize(("on_unreadable", "status"), [("pass", 200), ("refuse", 415)])
@pytest.mark.parametrize(
    "headers", [{"Content-Type": "image/png"}, {"Content-Type": "text/plain", "Content-Encoding": "gzip"}]
)
async def test_what_cannot_be_read_passes_or_not_as_configured(
    on_unreadable: str, status: int, headers: dict[str, str], tmp_path: Path
) -> None:
    answered, agent = await send(CARD.encode(), tmp_path, headers, on_unreadable=on_unreadable)
    assert answered == status
    assert len(agent.seen) == (status == 200)
