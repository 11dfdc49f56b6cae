"""Operators and keys: made, changed and revoked by hand while the gateway runs, by its listener or beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from aiogate.cli.keys import keys
from aiogate.journal.pretty import pretty
from aiogate.journal.reader import records
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.proxy.test_fidelity import connect

SECONDS = 20
WITHIN_SECONDS = 1.5
"""A second, and what a machine takes that others use too."""


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer at once, or stream for ever."""
    if not request.raw_path.endswith("/stream"):
        return web.json_response({"ok": True})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: {}\n\n")
    await asyncio.Event().wait()
    return response


@asynccontextmanager
async def running(path: Path, **api_keys: Any) -> AsyncIterator[RunningGateway]:
    async with asyncio.timeout(SECONDS), fake_agent(answer, record_bodies=False) as agent:
        config = {
            "pipeline": {"plugins": ["api_keys"]},
            "agents": {"support": {"url": agent.url}},
            "plugins": {"api_keys": {"pepper": "salt", **api_keys}},
        }
        async with running_gateway(config, path) as gateway:
            yield gateway


async def told(gateway: RunningGateway, *arguments: str, beside: bool = False) -> Result:
    """Run ``aiogate keys`` as an operator does, beside the loop of the gateway."""
    where = ["--config", str(gateway.directory / "gateway.toml")] if beside else ["--url", gateway.admin_url]
    return await asyncio.to_thread(CliRunner().invoke, keys, [*arguments, *where])


async def status(gateway: RunningGateway, key: str) -> int:
    url = f"{gateway.url}/agents/support/x"
    async with aiohttp.ClientSession() as session, session.get(url, headers={"X-API-Key": key}) as response:
        return response.status


async def becomes(gateway: RunningGateway, key: str, wanted: int) -> None:
    """Return when callers with a key get another answer, within a second."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while await status(gateway, key) != wanted:
        await asyncio.sleep(0.01)
    assert loop.time() - began < WITHIN_SECONDS


async def actions(gateway: RunningGateway) -> list[dict[str, Any]]:
    every = await asyncio.to_thread(lambda: list(records(gateway.directory / "journal", actions=True)))
    return [record for record in every if record.get("kind") == "action"]


@pytest.mark.parametrize("beside", [False, True], ids=["by the listener", "beside the gateway"])
async def test_the_life_of_a_key(beside: bool, tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        made = await told(gateway, "create", "--principal", "alice", "--id", "k", "--role", "analyst", beside=beside)
        assert made.exit_code == 0, made.output
        first = made.stdout.strip()
        assert "shown once" in made.stderr
        await becomes(gateway, first, 200)
        rotated = await told(gateway, "rotate", "k", "--overlap", "1h", "--json", beside=beside)
        second = orjson.loads(rotated.stdout)["key"]
        await becomes(gateway, second, 200)
        assert await status(gateway, first) == 200
        listed = await told(gateway, "list", beside=beside)
        [row] = [line.split() for line in listed.stdout.splitlines() if line.startswith("k ")]
        assert row[:4] == ["k", "alice", "analyst", "rotating"]
        revoked = await told(gateway, "revoke", "k", "--reason", "lost", "--actor", "eve", beside=beside)
        assert revoked.stdout == "key k of alice is revoked\n"
        await becomes(gateway, second, 401)
        assert await status(gateway, first) == 401
        shown = await told(gateway, "show", "k", beside=beside)
        assert "revoked because  lost" in shown.stdout
        everything = "".join(one.output for one in (listed, revoked, shown))
        assert all(key.rpartition("_")[2] not in everything for key in (first, second))
        written = await actions(gateway)
        assert [action["action"] for action in written] == ["keys.create", "keys.rotate", "keys.revoke"]
        assert (written[-1]["key_id"], written[-1]["actor"], written[-1]["reason"]) == ("k", "eve", "lost")
        assert pretty(written[-1]).split()[-5:] == ["eve", "→", "k", "keys.revoke:", "lost"]


@pytest.mark.parametrize("beside", [False, True], ids=["by the listener", "beside the gateway"])
async def test_a_key_that_is_killed_ends_what_is_under_way_with_it_and_nothing_else(
    beside: bool, tmp_path: Path
) -> None:
    async with running(tmp_path) as gateway:
        loop, streams = asyncio.get_running_loop(), []
        for key_id in ("one", "two"):
            made = await told(gateway, "create", "--principal", "alice", "--id", key_id)
            reader, writer = await connect(gateway.url)
            streams.append((reader, writer))
            request = f"GET /agents/support/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: {made.stdout.strip()}\r\n\r\n"
            writer.write(request.encode())
            await reader.readuntil(b"data: {}\n\n")
        await told(gateway, "revoke", "two")
        await told(gateway, "revoke", "one", "--kill", beside=beside)
        began = loop.time()
        said = await streams[0][0].read()
        assert loop.time() - began < WITHIN_SECONDS
        assert b"revoked while it was under way" in said
        assert not said.endswith(b"0\r\n\r\n")
        [record] = await asyncio.to_thread(gateway.records)
        assert (record["key_id"], record["outcome"], record["code"]) == ("one", "cut", "unauthenticated")
        [walk] = gateway.gateway.house.open_exchanges.values()
        assert walk.exchange.principal is not None
        assert walk.exchange.principal.key_id == "two"
        for _, writer in streams:
            writer.close()


async def asked(gateway: RunningGateway, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession(gateway.admin_url) as session:
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        async with session.request(method, path, data=data) as response:
            return response.status, await response.json()


async def test_the_listener_says_what_is_wrong_all_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        code, said = await asked(
            gateway, "POST", "/api/keys", {"principal": "", "role": ["x"], "networks": ["10.0.0.1/8"]}
        )
        assert (code, said["code"]) == (400, "bad_request")
        assert {problem["path"] for problem in said["problems"]} == {"principal", "role", "networks"}
        assert "did you mean 'roles'?" in said["detail"]
        for body in (b"{", b"[]", {"principal": "a", "expires": "soon"}, {"principal": "a", "expires": "2199-01-01"}):
            assert (await asked(gateway, "POST", "/api/keys", body))[0] == 400
        code, said = await asked(gateway, "POST", "/api/keys", {"principal": "a", "expires": "2199-01-01T00:00:00Z"})
        assert (code, said["expires"]) == (200, "2199-01-01T00:00:00+00:00")
        code, _ = await asked(gateway, "POST", f"/api/keys/{said['id']}/rotate", {"overlap_seconds": 0.5})
        assert code == 200
        assert (await asked(gateway, "GET", "/api/keys/nobody"))[0] == 404
        assert (await asked(gateway, "POST", "/api/keys/nobody/revoke"))[0] == 404
        assert len((await asked(gateway, "GET", "/api/keys"))[1]["keys"]) == 1


async def test_where_no_key_of_the_store_would_be_let_in_none_is_made(tmp_path: Path) -> None:
    async with running(tmp_path, store=False) as gateway:
        for beside in (False, True):
            result = await told(gateway, "create", "--principal", "alice", beside=beside)
            assert (result.exit_code, result.stdout) == (1, "")
            assert "plugins.api_keys.store is false" in str(result.exception)


async def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        gateway.gateway.house.journal.close()
        assert "nothing has changed" in str((await told(gateway, "create", "--principal", "alice")).exception)
        assert (await told(gateway, "list")).stdout == "there are no keys in the store\n"
