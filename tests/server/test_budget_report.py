"""Budgets as operators see them: a list, and gauges by name."""

import asyncio
from pathlib import Path

import aiohttp
from click.testing import CliRunner

from aiogate.cli import _aiogate
from tests.builtin.spending import ask, serving

BUDGETS = (
    {"name": "team", "usd": 0.001, "per": ["department"], "warn_at": [0.5]},
    {"name": "day", "tokens": 1000},
)


async def test_the_list_has_every_counter_with_spent_and_held_apart(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serving(tmp_path, *BUDGETS) as (gateway, _, _):
        await ask(client, gateway, "alice/data", uses=600, max_tokens=600)
        await ask(client, gateway, "bob/sales", uses=100, max_tokens=100)
        async with client.get(f"{gateway.admin_url}/api/budgets") as response:
            listed = await response.json()
    assert [(one["budget"], one["per"], one["spent"], one["held"], one["warned_at"]) for one in listed] == [
        ("team", {"department": "data"}, 600_000, 0, 0.5),
        ("day", {}, 700, 0, None),
        ("team", {"department": "sales"}, 100_000, 0, None),
    ]
    assert (listed[0]["unit"], listed[0]["limit"], listed[0]["share"]) == ("nanousd", 1_000_000, 0.6)
    assert (listed[0]["period_starts"], listed[0]["period_ends"]) == ("2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z")


async def test_the_status_shows_the_tightest_first(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    budgets = (*BUDGETS, {"name": "calm", "tokens": 10**9, "per": ["agent"]})
    async with serving(tmp_path, *budgets) as (gateway, _, _):
        await ask(client, gateway, "alice/data", uses=600, max_tokens=600)
        status = ["status", "--admin", gateway.admin_url.removeprefix("http://")]
        result = await asyncio.to_thread(CliRunner().invoke, _aiogate, status)
    assert result.output.partition("  budgets, the tightest first\n")[2].splitlines() == [
        "    team                 department data: 0.0006 of 0.0010 usd spent, 0.00 held, until 2026-11-28T00:00:00Z",
        "    day                  600 of 1,000 tokens spent, 0 held, until 2026-11-28T00:00:00Z",
        "    calm                 agent teller: 600 of 1,000,000,000 tokens spent, 0 held, until 2026-11-28T00:00:00Z",
    ]


async def test_the_gauges_have_the_name_of_the_budget_and_nothing_of_its_callers(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serving(tmp_path, *BUDGETS) as (gateway, _, _):
        await ask(client, gateway, "alice/data", uses=600, max_tokens=600)
        await ask(client, gateway, "bob/sales", uses=100, max_tokens=100)
        async with client.get(f"{gateway.admin_url}/metrics") as response:
            lines = (await response.text()).splitlines()
    told = [line for line in lines if line.startswith("aiogate_budget")]
    assert told == [
        'aiogate_budget_spent{budget="team",unit="usd"} 0.0007',
        'aiogate_budget_spent{budget="day",unit="tokens"} 700.0',
        'aiogate_budget_held{budget="team",unit="usd"} 0.0',
        'aiogate_budget_held{budget="day",unit="tokens"} 0.0',
        'aiogate_budget_limit{budget="team",unit="usd"} 0.001',
        'aiogate_budget_limit{budget="day",unit="tokens"} 1000.0',
        'aiogate_budget_share{budget="team",unit="usd"} 0.6',
        'aiogate_budget_share{budget="day",unit="tokens"} 0.7',
        'aiogate_budget_warned{budget="team",unit="usd"} 1.0',
        'aiogate_budget_warned{budget="day",unit="tokens"} 0.0',
    ]
