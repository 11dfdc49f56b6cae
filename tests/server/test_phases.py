"""How long each stage took: in the log's lines, and for operators who ask in ``Server-Timing``."""

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from aiogate.server.access_log import AccessLog
from aiogate.server.phases import server_timing, with_phases
from aiogate.testing import fake_agent, running_gateway
from tests.exchanges import an_exchange

KEY = "agk_test_" + "5eed" * 16


def test_the_stages_follow_each_other_without_a_hole() -> None:
    exchange = an_exchange(started=1.0, forwarded=1.25, first_byte=3.25, answered=3.5, ended=7.5)
    line = with_phases(b'{"status":200}\n', exchange)
    assert orjson.loads(line) == {"status": 200, "phases": {"admit": 0.25, "agent": 2.0, "answer": 0.25, "body": 4.0}}
    refused = an_exchange(started=1.0, ended=1.5)
    assert orjson.loads(with_phases(b'{"status":429}\n', refused))["phases"] == {"admit": 0.5}


def test_milliseconds_are_what_browsers_read() -> None:
    exchange = an_exchange(started=1.0, forwarded=1.25, first_byte=3.25)
    assert server_timing(exchange, 4.0) == "\r\nServer-Timing: admit;dur=250.000, agent;dur=2000.000"
    assert server_timing(an_exchange(started=1.0), 1.5) == "\r\nServer-Timing: admit;dur=500.000"


@pytest.mark.parametrize(
    "role, asks, is_told", [("operator", "1", True), ("operator", "0", False), ("user", "1", False)]
)
async def test_operators_who_ask_are_told_and_the_agent_is_not(
    role: str, asks: str, is_told: bool, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    key = {"id": "test", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "principal": "alice", "roles": [role]}
    async with fake_agent() as agent:
        config: dict[str, Any] = {
            "pipeline": {"plugins": ["api_keys"]},
            "agents": {"echo": {"url": agent.url}},
            "plugins": {"api_keys": {"keys": [key]}},
        }
        async with running_gateway(config, tmp_path) as gateway:
            headers = {"X-API-Key": KEY, "X-Aiogate-Timing": asks}
            async with client.get(f"{gateway.url}/agents/echo/x", headers=headers) as response:
                timing = response.headers.get("Server-Timing", "")
            assert bool(re.fullmatch(r"admit;dur=[\d.]+, agent;dur=[\d.]+", timing)) == is_told
            assert is_told or not timing
        assert "X-Aiogate-Timing" not in agent.seen[0].headers


async def test_a_line_of_the_log_has_its_phases_and_the_journal_has_none(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent:
        config = {"server": {"anonymous": True}, "agents": {"echo": {"url": agent.url}}}
        async with running_gateway(config, tmp_path) as gateway:
            house, stream = gateway.gateway.house, io.BytesIO()
            house.access_log = AccessLog("json", stream)
            await (await client.get(f"{gateway.url}/agents/echo/x?token=hidden")).release()
            house.access_log.close()
            line = orjson.loads(stream.getvalue())
            assert list(line["phases"]) == ["admit", "agent", "answer", "body"]
            assert sum(line["phases"].values()) == pytest.approx(line["duration_seconds"], abs=1e-5)
            assert {name: fact for name, fact in line.items() if name != "phases"}.items() <= gateway.records()[
                0
            ].items()
            assert b"hidden" not in stream.getvalue()
