"""Keys of a store in Redis, made and revoked by the command, on two gateways in processes of their own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from click.testing import CliRunner

from aiogate.cli import _aiogate
from aiogate.testing import fake_agent
from tests.e2e.conftest import KEY, SECONDS, Served, config, serving
from tests.e2e.test_redis import sees
from tests.state.redis_server import RedisServer, redis_server

WITHIN_SECONDS = 1.5
"""A second, and what a machine takes that others use too."""


async def answer(request: web.Request) -> web.StreamResponse:
    if not request.raw_path.endswith("/stream"):
        return web.json_response({})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: {}\n\n")
    await asyncio.Event().wait()
    return response


@pytest.fixture
async def agent_url() -> AsyncIterator[str]:
    async with fake_agent(answer, record_bodies=False) as running:
        yield running.url


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@asynccontextmanager
async def gateway_at(folder: Path, agent_url: str, server: RedisServer, gateways: int = 1) -> AsyncIterator[Served]:
    folder.mkdir()  # noqa: ASYNC240 - in no time
    wanted: dict[str, Any] = config(agent_url)
    wanted["state"] = {"url": server.url}
    wanted["plugins"]["api_keys"]["pepper"] = "${AIOGATE_PEPPER}"
    async with serving(wanted, folder) as served:
        async with asyncio.timeout(SECONDS):
            await sees(served.operators, gateways)
        yield served


@pytest.fixture(autouse=True)
def pepper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOGATE_PEPPER", "salt and more")


@pytest.fixture
async def gateways(agent_url: str, server: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[Served, Served]]:
    async with AsyncExitStack() as running:
        one, two = await asyncio.gather(
            *(running.enter_async_context(gateway_at(tmp_path / name, agent_url, server, 2)) for name in ("one", "two"))
        )
        yield one, two


async def told(*arguments: str) -> tuple[int, str, str]:
    """Run ``aiogate keys`` beside the loop; return its exit code and what it says."""
    done = await asyncio.to_thread(CliRunner().invoke, _aiogate, ["keys", *arguments])
    return done.exit_code, done.stdout, done.stderr


async def made(folder: Path, *arguments: str) -> dict[str, Any]:
    code, said, complained = await told(*arguments, "--json", "--config", str(folder / "gateway.toml"))
    assert code == 0, complained
    done: dict[str, Any] = orjson.loads(said)
    return done


async def status(session: aiohttp.ClientSession, gateway: Served, key: str) -> int:
    async with session.get(f"{gateway.url}/agents/assistant/", headers={"X-API-Key": key}) as response:
        return response.status


async def become(gateways: tuple[Served, ...], key: str, wanted: int) -> None:
    """Return when callers with a key get that answer from all gateways, within a second."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):
        for gateway in gateways:
            while await status(session, gateway, key) != wanted:
                await asyncio.sleep(0.01)
    assert loop.time() - began < WITHIN_SECONDS


async def test_the_life_of_a_key_on_two_gateways(gateways: tuple[Served, Served], tmp_path: Path) -> None:
    """Made, rotated with an overlap, and killed: its stream on either gateway ends within a second."""
    create = ("create", "--principal", "bob", "--role", "agent_user", "--id", "k-bob")
    first = (await made(tmp_path / "one", *create))["key"]
    await become(gateways, first, 200)
    second = (await made(tmp_path / "two", "rotate", "k-bob", "--overlap", "1h"))["key"]
    await become(gateways, second, 200)
    await become(gateways, first, 200)
    third = (await made(tmp_path / "one", "rotate", "k-bob", "--overlap", "0"))["key"]
    await become(gateways, second, 401)
    await become(gateways, third, 200)
    async with aiohttp.ClientSession(headers={"X-API-Key": third}) as session:
        streams = [await session.get(f"{gateway.url}/agents/assistant/stream") for gateway in gateways]
        for stream in streams:
            assert await stream.content.readline() == b"data: {}\n"
        await made(tmp_path / "two", "revoke", "k-bob", "--kill", "--reason", "stolen")
        began = asyncio.get_running_loop().time()
        for stream in streams:
            with pytest.raises(aiohttp.ClientPayloadError):
                while True:
                    await stream.content.readany()
            stream.close()
        assert asyncio.get_running_loop().time() - began < WITHIN_SECONDS
        await become(gateways, third, 401)
    for gateway in gateways:
        records = await asyncio.to_thread(gateway.records)
        assert [record["outcome"] for record in records if record.get("outcome") == "cut"] == ["cut"]
    [action] = [one for one in records if one.get("action") == "keys.kill"]
    assert (action["key_id"], action["reason"]) == ("k-bob", "stolen")
    _, said, _ = await told("list", "--url", gateways[0].operators, "--json")
    assert [(key["id"], key["status"]) for key in orjson.loads(said)] == [("k-bob", "revoked")]


async def test_keys_outlive_redis_and_one_who_starts_without_it_serves_the_configs(
    gateways: tuple[Served, Served],
    agent_url: str,
    server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From memory while it is away, and put back when it comes back empty; a gateway that starts meanwhile says 503.

    One that is started with another pepper than the keys were made with does not start.
    """
    key = (await made(tmp_path / "one", "create", "--principal", "bob", "--role", "agent_user"))["key"]
    await become(gateways, key, 200)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("AIOGATE_PEPPER", "another")
        with pytest.raises(AssertionError, match=r"were made with pepper [0-9a-f]{8}, and pepper [0-9a-f]{8} is in"):
            async with gateway_at(tmp_path / "other", agent_url, server):
                pass
    server.kill()
    await become(gateways, key, 200)
    code, said, complained = await told("list", "--config", str(tmp_path / "one" / "gateway.toml"))
    assert (code, said) == (1, "")
    assert "aiogate: the store cannot be asked: Redis" in complained
    async with gateway_at(tmp_path / "three", agent_url, server) as third:
        await become((third,), KEY, 200)
        await become((third,), key, 503)
        server.start()
        async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):
            while await status(session, third, key) != 200:
                await asyncio.sleep(0.01)
    await become(gateways, key, 200)
