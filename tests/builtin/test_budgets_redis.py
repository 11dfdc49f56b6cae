"""Budgets on a real Redis: an exchange waits for one round trip, and is told how its budgets stand all the same."""

import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aiogate import Clock
from aiogate.state.redis.batches import Batches
from aiogate.state.redis.operations import Operation
from tests.builtin.spending import ask, serving, standing
from tests.state.redis_server import redis_server

TOKENS = {"name": "t", "tokens": 1000, "warn_at": [0.5, 0.9]}
MONEY = {"name": "m", "usd": 0.01, "warn_at": []}
PLUGINS = ["callers", "budgets", "policies", "limits", "cost"]
SPARE = {"rule": [{"name": "spare", "deny": "usage.budget_share > 0.7"}]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what exchanges wait for, by what it is: not what is asked behind them, or by the probe."""
    counted = Counter[str]()
    ask_redis = Batches.ask

    async def counting(batches: Batches, operation: Operation) -> Any:
        stack = traceback.extract_stack(limit=12)
        if not any(frame.name == "post_response" or frame.filename.endswith("state_probe.py") for frame in stack):
            counted[operation.code] += 1
        return await ask_redis(batches, operation)

    monkeypatch.setattr(Batches, "ask", counting)
    return counted


@pytest.mark.parametrize("policies", [{}, SPARE], ids=["nobody asks", "a policy asks"])
async def test_an_exchange_waits_for_one_round_trip(
    client: aiohttp.ClientSession, tmp_path: Path, asked: Counter[str], policies: dict[str, Any]
) -> None:
    with redis_server() as server:
        state = {"url": server.url, "timeout_seconds": 20.0}
        sections = {"state": state, "pipeline": {"plugins": PLUGINS}, "policies": policies}
        clock = Clock(monotonic=lambda: 1000.0)  # what was seen stays young, however slow the machine is
        async with serving(tmp_path, TOKENS, MONEY, clock=clock, **sections) as (gateway, _, _):
            await ask(client, gateway, uses=100)
            asked.clear()
            for _ in range(3):
                assert (await ask(client, gateway, uses=100)).status == 200
            assert asked == {"acquire": 3}
            half = await ask(client, gateway, uses=150)
            assert "X-Aiogate-Budget-Warning" not in half.headers
            assert asked == {"acquire": 4}
            assert (await ask(client, gateway, uses=250)).headers["X-Aiogate-Budget-Warning"] == '"t";spent=0.550'
            await standing(gateway)  # behind what was settled
            last = await ask(client, gateway, uses=190)
            assert (last.status, last.said.get("rule")) == ((403, "spare") if policies else (200, None))
            spent = 800 if policies else 990
            assert await standing(gateway) == [("t", "tokens", spent, 0), ("m", "usd", spent * 1000, 0)]
