"""Configs that are pushed to a store, and two gateways in processes of their own that go over to them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import tomli_w
from aiohttp import web
from click.testing import CliRunner

from aiogate.cli import _aiogate
from aiogate.testing import FakeAgent, fake_agent
from tests.e2e.conftest import KEY, Served, config, served_by
from tests.state.redis_server import RedisServer, redis_server

WITHIN_SECONDS = 2.0
"""A second, and what a machine takes that others use too."""


async def answer(request: web.Request) -> web.Response:
    """Say what the agent was told by the config."""
    return web.json_response([request.headers.get("Authorization"), request.headers.get("X-Version")])


@pytest.fixture
async def agent() -> AsyncIterator[FakeAgent]:
    async with fake_agent(answer, record_bodies=False) as running:
        yield running


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(autouse=True)
def state(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOGATE_STATE", server.url)


def write(folder: Path, agent: FakeAgent, version: int, **more: Any) -> Path:
    """Write a config in two files whose agent is told which version of it calls, with a secret of each gateway's."""
    wanted = {**config(agent.url), "include": ["agents/*.toml"]}
    wanted["agents"]["assistant"]["headers"] = {"Authorization": "Bearer ${TOKEN}", "X-Version": f"{version}"}
    wanted["agents"]["assistant"]["rate_limit"] = "1000000/second"
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "agents" / "more.toml").write_text(tomli_w.dumps({"agents": {"more": {"url": agent.url, **more}}}))
    path = folder / "gateway.toml"
    path.write_text(tomli_w.dumps(wanted))
    return path


async def told(*arguments: object) -> tuple[int, str, str]:
    """Run ``aiogate config`` beside the loop; return its exit code and what it says."""
    done = await asyncio.to_thread(CliRunner().invoke, _aiogate, ["config", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


async def pushed(*arguments: object) -> dict[str, Any]:
    """Run a command that publishes; return what it says, all having gone over within a second."""
    code, said, complained = await told(*arguments, "--json")
    done: dict[str, Any] = orjson.loads(said)
    assert code == 0, (said, complained)
    assert max((gateway["at"] for gateway in done["gateways"]), default=0.0) - done["at"] < WITHIN_SECONDS
    return done


@asynccontextmanager
async def two_gateways(folder: Path, **environ: str) -> AsyncIterator[tuple[Served, Served]]:
    """Start two gateways of the store; the first has more in its environment than the second."""
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    async with AsyncExitStack() as running:
        one, two = await asyncio.gather(
            running.enter_async_context(served_by(folder / "one", "serve", TOKEN="one", **environ)),
            running.enter_async_context(served_by(folder / "two", "serve", TOKEN="two")),
        )
        yield one, two


@asynccontextmanager
async def load_on(*gateways: Served) -> AsyncIterator[Counter[int]]:
    """Have each gateway called all the time; yield how often callers were answered how."""
    seen, over = Counter[int](), asyncio.Event()

    async def calls(gateway: Served) -> None:
        async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session:
            while not over.is_set():
                async with session.get(f"{gateway.url}/agents/assistant/") as response:
                    await response.read()
                    seen[response.status] += 1
                await asyncio.sleep(0.005)

    callers = [asyncio.create_task(calls(gateway)) for gateway in gateways for _ in range(2)]
    try:
        yield seen
    finally:
        over.set()
        await asyncio.gather(*callers)


async def versions(*gateways: Served) -> list[list[str]]:
    """Return what the agent gets from each gateway: its secret, and the version of the config."""
    seen = []
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session:
        for gateway in gateways:
            async with session.get(f"{gateway.url}/agents/assistant/") as response:
                seen.append(await response.json())
    return seen


async def actions(gateway: Served) -> list[tuple[str, object, str]]:
    records = await asyncio.to_thread(gateway.records)
    return [(one["action"], one["generation"], one["reason"]) for one in records if one.get("kind") == "action"]


async def test_a_config_that_is_pushed_is_in_force_everywhere_and_no_call_fails(
    agent: FakeAgent, tmp_path: Path
) -> None:
    """From the first generation to one that a gateway cannot have, and back again."""
    code, said, warned = await told("push", write(tmp_path, agent, 1), "--message", "first")
    assert (code, said.splitlines()[0]) == (0, "generation 1 is published")
    assert "TOKEN is not set" in warned
    assert "no gateway follows the store" in said
    async with two_gateways(tmp_path, ONLY="here") as both, load_on(*both) as seen:
        assert await versions(*both) == [["Bearer one", "1"], ["Bearer two", "1"]]
        done = await pushed("push", write(tmp_path, agent, 2), "--message", "second", "--actor", "eve")
        assert [gateway["generation"] for gateway in done["gateways"]] == [2, 2]
        assert await versions(*both) == [["Bearer one", "2"], ["Bearer two", "2"]]

        path = write(tmp_path, agent, 3, urll="x", weight=-1)
        code, said, complained = await told("push", path)
        assert (code, said) == (78, "")
        assert "agents.more.urll: unknown key; did you mean 'url'? (agents/more.toml, line" in complained
        assert "agents.more.weight: " in complained

        code, said, _ = await told("push", write(tmp_path, agent, 3, description="${ONLY}"), "--message", "third")
        assert code == 1
        one, two = (gateway.url.removeprefix("http://") for gateway in both)
        assert f" {one}: generation 3 is in force\n" in said
        assert f" {two}: generation 2 is in force, not 3:\n      agents.more.description: " in said
        async with aiohttp.ClientSession() as session, session.get(f"{both[1].operators}/api/status") as response:
            status = await response.json()
            assert (status["config"]["from"], status["config"]["tried"]) == ("generation 2 of the store", 3)
            assert status["last_reload"]["cause"] == "push"

        done = await pushed("rollback", "--message", "third was none")
        assert (done["number"], done["of"]) == (4, 2)
        assert [gateway["generation"] for gateway in done["gateways"]] == [4, 4]
        history = orjson.loads((await told("history", "--json"))[1])
        assert [one["message"] for one in history["generations"]] == ["third was none", "third", "second", "first"]
        assert [gateway["generation"] for gateway in history["gateways"]] == [4, 4]
        difference = (await told("diff", "1", "2"))[1].splitlines()
        assert [line for line in difference if "X-Version" in line and line[0] in "+-"] == [
            '-X-Version = "1"',
            '+X-Version = "2"',
        ]
        assert "Bearer ${TOKEN}" in "".join(difference)
    assert set(seen) == {200}
    assert seen[200] > 20
    assert await actions(both[0]) == [
        ("config.in_force", 2, "second"),
        ("config.in_force", 3, "third"),
        ("config.in_force", 4, "third was none"),
    ]
    assert ("config.refused", 3, "third") in await actions(both[1])
    assert orjson.loads((await told("history", "--json"))[1])["gateways"] == []


async def test_what_takes_a_restart_is_said_and_in_force_after_one(agent: FakeAgent, tmp_path: Path) -> None:
    """Two workers go over together, and speak with one voice."""
    path = write(tmp_path, agent, 1)
    await told("push", path)
    async with served_by(tmp_path, "serve", "--workers", "2", TOKEN="one") as served:
        await pushed("push", write(tmp_path, agent, 2))
        for _ in range(10):
            assert await versions(served) == [["Bearer one", "2"]]
        text = path.read_text().replace('dir = "journal"', 'dir = "elsewhere"')
        path.write_text(text)
        done = await pushed("push", path)
        [restart] = done["gateways"][0]["needs_restart"]
        assert restart.startswith("journal.dir: stays ")
        assert [gateway["generation"] for gateway in done["gateways"]] == [3]
    async with served_by(tmp_path, "serve", TOKEN="one") as served:
        assert await versions(served) == [["Bearer one", "2"]]
    assert (tmp_path / "elsewhere").is_dir()


async def test_a_gateway_without_a_file_does_not_start_while_redis_is_away(server: RedisServer, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no config was pushed to the store yet: aiogate config push FILE"):
        async with served_by(tmp_path, "serve"):
            pass
    server.kill()
    with pytest.raises(AssertionError, match="the store cannot be asked: Redis"):
        async with served_by(tmp_path, "serve"):
            pass
