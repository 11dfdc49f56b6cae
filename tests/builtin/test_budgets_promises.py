"""Budgets in a running gateway under a random crowd: held ends at nothing, spent is what the journal says."""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from aiogate import Clock
from aiogate.testing import RunningGateway
from tests.builtin.spending import ask, serving, standing
from tests.builtin.test_budgets_gateway import SECONDS, hang_up
from tests.state.factories import shared_server

SEEDS = range(int(os.environ.get("AIOGATE_BUDGET_CROWDS", "3")))
CALLERS = 60
SLICES = {"memory": 100, "redis": 1000}
"""Tokens: a slice lasts for the way to the counters and back, these streams come as fast as the machine can."""
MOST_SURPRISE = 30
"""Tokens by which an answer of the agent here may differ from what is estimated of it."""


def budgets(a_slice: int) -> list[dict[str, Any]]:
    return [
        {"name": "all", "tokens": 20_000, "slice_tokens": a_slice},
        {"name": "money", "usd": 0.012, "slice_usd": a_slice / 10**6, "per": ["principal"]},
        {
            "name": "lenient",
            "tokens": 9_000,
            "slice_tokens": a_slice,
            "match": {"department": "data"},
            "on_exhausted": "finish",
        },
    ]


async def one(chance: random.Random, client: aiohttp.ClientSession, gateway: RunningGateway) -> None:
    """Do what one client may do."""
    who = chance.choice(["alice/data", "bob/data", "carol/sales"])
    await asyncio.sleep(chance.random() / 20)  # so that they come and go at any moment
    kind = chance.randrange(5)
    if kind == 0:
        await ask(client, gateway, who, uses=chance.randrange(1, 300), max_tokens=300, model="m-1")
    elif kind == 1:
        await ask(client, gateway, who, uses=5, status=500, max_tokens=100)
    elif kind == 2:
        await ask(client, gateway, who, usage={"completion_tokens": chance.choice([-5, 10**40, "x"])}, max_tokens=9)
    elif kind == 3:
        events = chance.randrange(1, 60)
        await ask(client, gateway, who, events=events, uses=events * 25, stream=True, model="m-1")
    else:
        body = orjson.dumps({"events": chance.randrange(1, 60), "stream": True, "model": "m-1"})
        lines = ("POST /agents/teller HTTP/1.1", "Host: x", "Connection: close", f"X-Who: {who}")
        head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", ""))
        await hang_up(gateway.url, head.encode() + body, chance.randrange(1, 6000))


def expected(records: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """Return what each counter has to stand at."""
    sums = Counter[tuple[str, str]]()
    for record in records:
        usage = record["usage"]
        tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        sums["all", ""] += tokens
        sums["money", record["principal"]] += record["cost_nanousd"] or 0
        if record.get("department") == "data":
            sums["lenient", ""] += tokens
    return dict(sums)


@pytest.mark.parametrize("where", ["memory", "redis"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_crowd_leaves_nothing_held_and_spends_what_the_journal_says(
    client: aiohttp.ClientSession, tmp_path: Path, seed: int, where: str
) -> None:
    chance = random.Random(seed)
    url = "memory://" if where == "memory" else shared_server().url
    state = {"url": url, "prefix": f"crowd{seed}:", "timeout_seconds": 30, "on_error": "refuse"}
    async with serving(tmp_path, *budgets(SLICES[where]), clock=Clock(), state=state) as (gateway, _, _):
        await asyncio.gather(*(one(random.Random(chance.random()), client, gateway) for _ in range(CALLERS)))
        async with asyncio.timeout(SECONDS):
            while len(gateway.records()) < CALLERS:
                await asyncio.sleep(0)
        plugin: Any = gateway.gateway.pipeline.plugins["budgets"]
        reports = await plugin.budgets()
        found = {(one.budget, one.per.get("principal") or ""): one.spent for one in reports}
        assert found == expected(gateway.records())
        assert {held for _, _, _, held in await standing(gateway)} == {0}
        for report in reports:
            if report.budget != "lenient":
                assert report.spent <= report.limit + (SLICES[where] + MOST_SURPRISE) * (
                    1000 if report.unit == "usd" else 1
                )
