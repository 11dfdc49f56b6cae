"""A gateway on Redis: what operators see of it, and what each limit does when it is away."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from aiogate.errors import AiogateError
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.builtin.spending import Callers
from tests.configs import anonymous
from tests.state.redis_server import RedisServer, redis_server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def limited(agent_url: str, server: RedisServer, **limit: Any) -> dict[str, Any]:
    """A gateway with one limit of two a minute."""
    return {
        **anonymous(agent_url),
        "state": {"url": server.url, "timeout_seconds": 20.0},
        "pipeline": {"plugins": ["limits"]},
        "plugins": {"limits": {"limit": [{"name": "all", "rate": "2/minute", **limit}]}},
    }


async def statuses(client: aiohttp.ClientSession, gateway: RunningGateway, times: int) -> list[int]:
    found = []
    for _ in range(times):
        async with client.get(f"{gateway.url}/agents/echo/x") as response:
            await response.read()
            found.append(response.status)
    return found


async def test_operators_see_that_counters_are_shared_no_more(
    client: aiohttp.ClientSession, tmp_path: Path, server: RedisServer
) -> None:
    async with fake_agent() as agent, running_gateway(limited(agent.url, server), tmp_path) as gateway:

        async def verbose() -> dict[str, Any]:
            async with client.get(f"{gateway.admin_url}/readyz?verbose") as response:
                assert response.status == 200
                return dict(await response.json())

        async def metrics() -> list[str]:
            async with client.get(f"{gateway.admin_url}/metrics") as response:
                return (await response.text()).splitlines()

        assert await statuses(client, gateway, 1) == [200]
        assert ((await verbose())["state"], (await verbose())["degraded"]) == ("redis", None)
        assert "aiogate_state_degraded 0.0" in await metrics()
        server.kill()
        assert await statuses(client, gateway, 2) == [200, 429]
        assert (await verbose())["degraded"].startswith("Redis: ")
        assert {"aiogate_state_degraded 1.0", "aiogate_degraded_exchanges_total 2.0"} <= set(await metrics())
        lines = b"".join(segment.read_bytes() for segment in (tmp_path / "journal").glob("*.jsonl")).splitlines()
        assert [orjson.loads(line).get("degraded") for line in lines] == [None, True, True]


async def test_operators_are_told_in_the_answer_and_nobody_else(
    client: aiohttp.ClientSession, tmp_path: Path, server: RedisServer
) -> None:
    async with fake_agent() as agent:
        config = limited(agent.url, server) | {"pipeline": {"plugins": ["callers", "limits"]}}
        async with running_gateway(config, tmp_path, {"callers": Callers}) as gateway:

            async def told(who: str) -> tuple[int, str | None]:
                async with client.get(f"{gateway.url}/agents/echo/x", headers={"X-Who": who}) as response:
                    await response.read()
                    return response.status, response.headers.get("X-Aiogate-Degraded")

            assert await told("olga//operator") == (200, None)
            server.kill()
            assert await told("alice//analyst") == (200, None)
            assert await told("olga//operator") == (429, "state")


@pytest.mark.parametrize(
    "on_state_error, expected", [("refuse", [503, 503, 503]), ("allow", [200, 200, 200]), ("local", [200, 200, 429])]
)
async def test_each_limit_says_what_it_does_without_redis(
    client: aiohttp.ClientSession, tmp_path: Path, server: RedisServer, on_state_error: str, expected: list[int]
) -> None:
    server.kill()
    async with fake_agent() as agent:
        config = limited(agent.url, server, on_state_error=on_state_error)
        async with running_gateway(config, tmp_path) as gateway:
            assert await statuses(client, gateway, 3) == expected


async def test_budgets_say_it_too_and_are_shared_otherwise(
    client: aiohttp.ClientSession, tmp_path: Path, server: RedisServer
) -> None:
    budget = {"name": "day", "period": "day", "usd": 0.003, "on_state_error": "refuse"}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with fake_agent() as agent:
        config: dict[str, Any] = limited(agent.url, server, rate="100/minute")
        config["pipeline"]["plugins"] = ["limits", "cost", "budgets"]
        config["plugins"] |= {
            "budgets": {"budget": [budget]},
            "cost": {"published_prices": False, "price": [{"agent": "echo", "call_usd": 0.001}]},
        }
        async with (
            running_gateway(config, tmp_path / "one") as one,
            running_gateway(config, tmp_path / "two") as two,
        ):
            found = [*await statuses(client, one, 2), *await statuses(client, two, 2), *await statuses(client, one, 1)]
            assert found == [200, 200, 200, 429, 429]
            server.kill()
            assert await statuses(client, one, 1) == [503]


async def test_a_redis_that_refuses_the_user_ends_the_start_without_its_password(
    tmp_path: Path, server: RedisServer
) -> None:
    config = anonymous("http://127.0.0.1:1") | {"state": {"url": server.url.replace("//", "//someone:hunter2@")}}
    with pytest.raises(AiogateError, match=r"^\[state\] url: Redis refuses this user") as error:
        async with running_gateway(config, tmp_path):
            pass
    assert "hunter2" not in str(error.value)


async def test_a_redis_that_never_answers_holds_no_start_up(tmp_path: Path, server: RedisServer) -> None:
    server.call("CLIENT", "PAUSE", "600000", "ALL")
    begun = time.monotonic()
    async with running_gateway(anonymous("http://127.0.0.1:1") | {"state": {"url": server.url}}, tmp_path) as gateway:
        assert gateway.gateway.ready()["accepting"]
    assert time.monotonic() - begun < 10
