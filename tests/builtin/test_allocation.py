"""Who pays: entries of the cost plugin, in a config, in the record and in a report."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from click.testing import CliRunner

from aiogate import Exchange, Principal
from aiogate.builtin.allocation import Allocation, shares_of
from aiogate.builtin.subjects import Match
from aiogate.cli.usage import usage
from aiogate.errors import SettingsError
from aiogate.testing import fake_agent, running_gateway
from tests.exchanges import an_agent, an_exchange

ENTRIES = (
    Allocation(match=Match(agent="search"), split={"web": Decimal(50), "data": Decimal(50)}),
    Allocation(match=Match(role=("intern", "guest")), cost_center="hr"),
    Allocation(match=Match(department="research", key="k-1"), cost_center="lab"),
)


def of(agent: str = "support", **facts: Any) -> Exchange:
    return an_exchange(agent=an_agent(agent), principal=Principal(id="alice", **facts))


@pytest.mark.parametrize(
    "exchange, expected",
    [
        (of(), ()),
        (of("search"), (("web", 50), ("data", 50))),
        (of(roles=frozenset({"guest"})), (("hr", 100),)),
        (of(department="research"), ()),
        (of(department="research", key_id="k-1"), (("lab", 100),)),
        (an_exchange(), ()),
    ],
)
def test_the_first_entry_that_fits_says_who_pays(exchange: Exchange, expected: Any) -> None:
    assert shares_of(exchange, ENTRIES) == expected


def config(url: str, *entries: dict[str, Any]) -> dict[str, Any]:
    prices = [{"agent": "support", "call_usd": 0.01}]
    return {
        "server": {"anonymous": True},
        "pipeline": {"plugins": ["cost"]},
        "agents": {"support": {"url": url, "cost_center": "own"}},
        "plugins": {"cost": {"published_prices": False, "price": prices, "allocate": list(entries)}},
    }


@pytest.mark.parametrize(
    "entry, message",
    [
        ({}, "expected cost_center or split, one of both"),
        ({"cost_center": "a", "split": {"a": 100}}, "expected cost_center or split, one of both"),
        ({"split": {"a": 60, "b": 41}}, "expected percents that sum up to 100, got 101"),
        ({"split": {"a": 100.5, "b": -0.5}}, "b: expected percents above 0"),
        ({"split": {"a": 99.999, "b": 0.001}}, "a: expected percents above 0 with at most two decimals"),
        ({"split": dict.fromkeys("abcde", 20)}, "expected at most 4 cost centres, got 5"),
        ({"cost_center": "a b"}, "expected 1 to 64 letters"),
        ({"cost_center": "a", "match": {"agent": "suport"}}, "there is no agent 'suport'; did you mean 'support'?"),
    ],
)
async def test_an_entry_that_is_wrong_is_said_with_its_place(
    entry: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as raised:
        async with running_gateway(config("http://127.0.0.1:9", entry), tmp_path):
            pass
    assert "plugins.cost.allocate[0]" in str(raised.value)
    assert message in str(raised.value)


async def test_a_split_is_in_the_record_and_in_the_report(tmp_path: Path) -> None:
    entry = {"match": {"agent": "support"}, "split": {"data": 66.67, "web": 33.33}}
    async with fake_agent() as agent, running_gateway(config(agent.url, entry), tmp_path) as gateway:
        async with aiohttp.ClientSession() as client, client.get(f"{gateway.url}/agents/support/x") as response:
            assert response.status == 200
        [record] = gateway.records()
    assert record["cost_centers"] == {"data": 66.67, "web": 33.33}
    options = ["--dir", str(tmp_path / "journal"), "--by", "cost_center", "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, usage, options, catch_exceptions=False)
    said = orjson.loads(result.output)
    rows = [(row["cost_center"], row["cost_nanousd"]) for row in said["rows"]]
    assert rows == [("data", 6_667_000), ("web", 3_333_000)]
    assert (said["total"]["calls"], said["total"]["cost_nanousd"]) == (1, 10_000_000)
