"""``kill -9`` under load of calls and streams: after the restart every budget equals the journal.

``AIOGATE_BUDGET_KILLS=100`` kills so often.
"""

import asyncio
import hashlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import tomli_w

from aiogate.journal.reader import records as journaled
from aiogate.testing import fake_agent
from tests.builtin.spending import Teller
from tests.e2e.conftest import KEY, SECONDS
from tests.e2e.test_reload import Served, serving

KILLS = int(os.environ.get("AIOGATE_BUDGET_KILLS", "2"))
CALLERS = 8
STREAMS = 6


def config(url: str) -> dict[str, Any]:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    key = {"id": "test", "sha256": digest, "principal": "alice", "roles": ["agent_user"], "department": "data"}
    return {
        "server": {"listen": "127.0.0.1:0", "access_log": "off", "grace_seconds": 2},
        "admin": {"listen": "127.0.0.1:0"},
        "journal": {"dir": "journal"},
        "pipeline": {"plugins": ["api_keys", "budgets", "cost"]},
        "agents": {"teller": {"url": url}, "other": {"url": url}},
        "plugins": {
            "api_keys": {"keys": [key]},
            "budgets": {
                "budget": [
                    {"name": "money", "usd": 9000, "per": ["department", "agent"], "period": "month"},
                    {"name": "tokens", "tokens": 10**12, "match": {"role": "agent_user"}, "period": "month"},
                ]
            },
            "cost": {
                "published_prices": False,
                "price": [{"model": "m-1", "input_usd_per_million": 1, "output_usd_per_million": 3}],
            },
        },
    }


@attrs.define
class Load:
    """Clients that call and stream until there is nobody.

    Args:
        ended: the ids of what they saw end.
        enough: how many of them set ``reached``.
    """

    url: str
    ended: set[str]
    enough: int
    reached: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def run(self) -> None:
        async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as client, asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(self._each(client, {"uses": 10 + number}))
            for number in range(STREAMS):
                group.create_task(self._each(client, {"events": 30, "uses": 500 + number, "stream": True}))

    async def _each(self, client: aiohttp.ClientSession, said: dict[str, Any]) -> None:
        agents = ("teller", "other")
        with suppress(aiohttp.ClientError):
            for turn in range(10**6):
                async with client.post(f"{self.url}/agents/{agents[turn % 2]}", json=said) as response:
                    await response.read()
                    self.ended.add(response.headers["X-Request-Id"])
                if len(self.ended) >= self.enough:
                    self.reached.set()


def records(directory: Path) -> list[dict[str, Any]]:
    """Return the whole records; the last line may be torn."""
    return list(journaled(directory / "journal"))


def expected(found: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """Return what each counter has to stand at."""
    sums = Counter[tuple[str, str]]()
    for record in found:
        usage = record["usage"]
        sums["money", record["agent"]] += record["cost_nanousd"] or 0
        sums["tokens", ""] += (usage.get("input_tokens") or 0) + (usage.get("output_tokens") or 0)
    return dict(sums)


async def budgets(served: Served) -> list[dict[str, Any]]:
    async with served.client.get(f"{served.admin}/api/budgets") as response:
        listed: list[dict[str, Any]] = await response.json()
        return listed


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    async with fake_agent(Teller(), record_bodies=False) as agent:
        path = tmp_path / "gateway.toml"
        path.write_text(tomli_w.dumps(config(agent.url)))
        yield path


async def serve_and_kill(path: Path, ended: set[str], answers: int) -> None:
    """Serve until clients have seen so many answers end, and kill the gateway amid more of them."""
    with suppress(ProcessLookupError):  # of ``serving``, which cannot end it any more
        async with serving(path) as served:
            load = Load(served.url, ended, len(ended) + answers)
            running = asyncio.create_task(load.run())
            async with asyncio.timeout(SECONDS):
                await load.reached.wait()
                served.process.kill()
                await running
                await served.process.wait()


async def test_a_budget_after_a_kill_and_a_restart_equals_the_journal(path: Path) -> None:
    ended, seed = set[str](), random.randrange(2**32)
    chance = random.Random(seed)
    for _ in range(KILLS):
        await serve_and_kill(path, ended, chance.randrange(20, 200))
        found = await asyncio.to_thread(records, path.parent)
        times = Counter(record["request_id"] for record in found)
        assert all(times[request_id] == 1 for request_id in ended), f"seed {seed}"
        async with serving(path) as served:
            listed = await budgets(served)
        stands = {(one["budget"], one["per"].get("agent", "")): one["spent"] for one in listed}
        assert stands == expected(found), f"seed {seed}"
        assert {one["held"] for one in listed} == {0}
    assert ended
