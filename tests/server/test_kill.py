"""The kill switch: what is under way ends within a second, nothing new comes in, and it comes to its end by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email.parser import BytesParser
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate import Exchange, Principal, Refusal, hookimpl, refusal
from aiogate.errors import AiogateError
from aiogate.exchange import Clock
from aiogate.journal.reader import records
from aiogate.server.halts.file import HALTS_FILE
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway
from tests.proxy.test_fidelity import connect

SECONDS = 20
EVENT = b"data: {}\n\n"
DEPARTMENTS = {"alice": "sales", "bob": "data", "carol": "data"}


class Callers:
    """Believes whoever says who it is."""

    enforces = frozenset({"principal"})

    @hookimpl
    def pre_request(self, exchange: Exchange) -> Refusal | None:
        name = exchange.request_headers.get("X-Who")
        if name is None:
            return refusal("unauthenticated", "who is it?")
        exchange.principal = Principal(id=name, department=DEPARTMENTS[name], key_id=f"k-{name}")
        return None


class Streams:
    """Streams one event and then nothing; what comes by POST is A2A, and tasks are cancelled by another POST."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await request.read()) if request.method == "POST" else {}
        if asked.get("method") in {"tasks/cancel", "CancelTask"}:
            self.cancelled.append((request.raw_path, asked))
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": {}})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        event: dict[str, Any] = {}
        if asked.get("method") == "message/stream":
            history = [{"role": "user", "parts": [{"kind": "text", "text": "x" * 2000}]}]
            event = {"id": "t-1", "contextId": "c", "status": {"state": "working"}, "kind": "task", "history": history}
        elif asked.get("method") == "SendStreamingMessage":
            event = {"task": {"id": "t-2", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}
        said = {"jsonrpc": "2.0", "id": 1, "result": event} if event else {}
        await response.write(b"data: %b\n\n" % orjson.dumps(said))
        await asyncio.Event().wait()
        return response


def config(agent: FakeAgent, **agents: Any) -> dict[str, Any]:
    named = {"one": {"url": agent.url}, "two": {"url": agent.url}, **agents}
    return {"pipeline": {"plugins": ["callers"]}, "agents": named}


@asynccontextmanager
async def behind(path: Path, **facts: Any) -> AsyncIterator[tuple[Streams, RunningGateway]]:
    streams = Streams()
    async with fake_agent(streams, record_bodies=False) as agent, asyncio.timeout(SECONDS):
        async with running_gateway(config(agent), path, {"callers": Callers}, **facts) as gateway:
            yield streams, gateway


class Open:
    """A stream that a client reads."""

    all: ClassVar[list[asyncio.StreamWriter]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.reader = reader
        self.all.append(writer)
        self.head = BytesParser().parsebytes(head.partition(b"\r\n")[2], headersonly=True)

    @classmethod
    async def of(cls, gateway: RunningGateway, who: str, agent: str) -> "Open":
        reader, writer = await connect(gateway.url)
        writer.write(f"GET /agents/{agent}/x HTTP/1.1\r\nHost: x\r\nX-Who: {who}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(EVENT)
        return cls(reader, writer, head)

    @property
    def is_open(self) -> bool:
        return not self.reader.at_eof()

    async def rest(self) -> bytes:
        """Return what comes until the end, which is none of the framing's."""
        said = await self.reader.read()
        assert not said.endswith(b"0\r\n\r\n")
        return said


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    while Open.all:
        writer = Open.all.pop()
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def kill(client: aiohttp.ClientSession, gateway: RunningGateway, status: int = 200, **said: Any) -> Any:
    async with client.post(f"{gateway.admin_url}/api/kills", json={"reason": "it spends", **said}) as response:
        assert response.status == status, await response.text()
        return await response.json(content_type=None)


async def call(client: aiohttp.ClientSession, gateway: RunningGateway, who: str, agent: str) -> Any:
    async with client.get(f"{gateway.url}/agents/{agent}/x", headers={"X-Who": who}) as response:
        return response.status, None if response.status == 200 else await response.json(content_type=None)


async def actions(path: Path) -> list[Any]:
    found = await asyncio.to_thread(lambda: list(records(path / "journal", actions=True)))
    return [record for record in found if record.get("kind") == "action"]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "target, hit, status, code",
    [
        ({"agent": "one"}, {("alice", "one"), ("bob", "one"), ("carol", "one")}, 503, "agent_killed"),
        ({"principal": "bob"}, {("bob", "one"), ("bob", "two")}, 403, "killed"),
        ({"department": "data"}, {("bob", "one"), ("carol", "one"), ("bob", "two"), ("carol", "two")}, 403, "killed"),
        ({"key": "k-carol"}, {("carol", "one"), ("carol", "two")}, 403, "killed"),
        ({"key": "k-carol", "agent": "two"}, {("carol", "two")}, 403, "killed"),
    ],
)
async def test_a_kill_ends_whom_it_names_and_nobody_else(
    target: dict[str, str],
    hit: set[tuple[str, str]],
    status: int,
    code: str,
    client: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    everybody = [(who, agent) for who in DEPARTMENTS for agent in ("one", "two")]
    async with behind(tmp_path) as (_, gateway):
        streams = {pair: await Open.of(gateway, *pair) for pair in everybody}
        async with asyncio.timeout(1.0):
            done = await kill(client, gateway, actor="olga", **target)
            ends = {pair: await streams[pair].rest() for pair in hit}
        assert done["cut"] == len(hit)
        for said in ends.values():
            assert b"event: error\ndata: " in said
            assert b"it spends." in said
        for pair in everybody:
            if pair in hit:
                answered, said = await call(client, gateway, *pair)
                assert (answered, said["code"], said["halt"]) == (status, code, done["id"])
                assert "it spends." in said["detail"]
            else:
                assert streams[pair].is_open
        told = [record for record in gateway.records() if record["outcome"] == "cut"]
        assert {(record["principal"], record["agent"], record["code"]) for record in told} == {
            (*pair, code) for pair in hit
        }
        [action] = await actions(tmp_path)
        assert (action["action"], action["actor"], action["reason"]) == ("kill", "olga", "it spends")
        async with client.delete(f"{gateway.admin_url}/api/kills/{done['id']}?actor=olga&reason=over") as response:
            assert response.status == 200
        assert gateway.gateway.house.halts.in_force == ()
        again = await Open.of(gateway, *min(hit))
        assert again.is_open


async def test_one_request_is_killed_by_its_id(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with behind(tmp_path) as (_, gateway):
        mine, other = [await Open.of(gateway, "bob", "one") for _ in range(2)]
        await kill(client, gateway, status=404, request="0" * 32)
        done = await kill(client, gateway, request=mine.head["X-Request-Id"])
        assert b'"code":"killed"' in await mine.rest()
        assert (done["cut"], other.is_open) == (1, True)
        assert 0 < done["seconds_left"] <= 60


async def test_a_kill_expires_by_itself(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    async with behind(tmp_path, clock=Clock(wall=lambda: now[0])) as (_, gateway):
        done = await kill(client, gateway, agent="one", **{"for": "10m"})
        async with client.get(f"{gateway.url}/agents/one/x", headers={"X-Who": "bob"}) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "600")
            assert response.headers["x-should-retry"] == "false"
        assert done["until"] == "2027-01-15T08:10:00.000Z"
        now[0] += 600.0
        assert (await Open.of(gateway, "bob", "one")).is_open
        async with client.get(f"{gateway.admin_url}/api/kills") as response:
            assert await response.json() == []
        events = gateway.gateway.house.events
        told = [events.text(number) for number in range(events.oldest, events.count)]
        assert [text.count(b'"reason":"it spends"') for text in told if b"event: kill" in text] == [1]


async def test_what_is_killed_stays_so_over_a_reload_and_a_restart(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with behind(tmp_path) as (_, gateway):
        done = await kill(client, gateway, agent="one")
        assert (done["kept"], done["everywhere"]) == (True, True)
        lifted = await kill(client, gateway, agent="two")
        async with client.delete(f"{gateway.admin_url}/api/kills/{lifted['id']}") as response:
            assert response.status == 200
        await gateway.gateway.reloads.reload("test")
        assert (await call(client, gateway, "bob", "one"))[0] == 503
    async with behind(tmp_path) as (_, gateway):
        assert (await call(client, gateway, "bob", "one"))[0] == 503
        assert (await Open.of(gateway, "bob", "two")).is_open
    (tmp_path / "journal" / HALTS_FILE).write_bytes(b"nonsense\n")
    with pytest.raises(AiogateError, match="nobody knows which agents and callers are killed"):
        async with behind(tmp_path):
            pass


async def test_a_paused_agent_takes_nothing_new_and_goes_on_with_what_it_has(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with behind(tmp_path) as (_, gateway):
        stream = await Open.of(gateway, "bob", "one")
        path = f"{gateway.admin_url}/api/agents/one"
        for seconds in (120, 30):  # the last word counts
            asked = {"reason": "deploy", "for": f"{seconds}s", "actor": "olga"}
            async with client.post(f"{path}/pause", params=asked) as response:
                assert response.status == 200
        async with client.get(f"{gateway.url}/agents/one/x", headers={"X-Who": "bob"}) as response:
            said = await response.json(content_type=None)
            assert (response.status, said["code"], response.headers["Retry-After"]) == (503, "agent_paused", "30")
        assert stream.is_open
        async with client.post(f"{path}/resume", params={"actor": "olga"}) as response:
            assert response.status == 200
        assert (await Open.of(gateway, "bob", "one")).is_open
        async with client.post(f"{path}/resume") as response:
            assert (response.status, (await response.json(content_type=None))["code"]) == (404, "unknown_halt")
        assert [action["action"] for action in await actions(tmp_path)] == ["pause", "pause", "resume"]


@pytest.mark.parametrize(
    "method, task, cancel", [("message/stream", "t-1", "tasks/cancel"), ("SendStreamingMessage", "t-2", "CancelTask")]
)
async def test_the_task_of_an_a2a_agent_is_cancelled(
    method: str, task: str, cancel: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with behind(tmp_path) as (agent, gateway):
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": {}}}
        response = await client.post(f"{gateway.url}/agents/one/rpc", json=asked, headers={"X-Who": "bob"})
        await response.content.readuntil(b"\n\n")
        await kill(client, gateway, principal="bob")
        await until(lambda: agent.cancelled)
        [(path, said)] = agent.cancelled
        assert (path, said["method"], said["params"]) == ("/rpc", cancel, {"id": task})
        response.close()


@pytest.mark.parametrize(
    "said, code",
    [
        ({"agent": "on"}, "unknown_agent"),
        ({}, "bad_request"),
        ({"agent": "one", "reason": ""}, "bad_request"),
        ({"agent": "one", "for": "soon"}, "bad_request"),
        ({"user": "bob"}, "bad_request"),
    ],
)
async def test_what_is_no_kill_is_refused_and_changes_nothing(
    said: dict[str, str], code: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with behind(tmp_path) as (_, gateway):
        refused = await kill(client, gateway, status=404 if code == "unknown_agent" else 400, **said)
        assert refused["code"] == code
        assert gateway.gateway.house.halts.in_force == ()
        assert await actions(tmp_path) == []


async def test_whoever_is_not_known_learns_nothing_of_a_kill(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with behind(tmp_path) as (_, gateway):
        await kill(client, gateway, agent="one")
        async with client.get(f"{gateway.url}/agents/one/x") as response:
            assert response.status == 401
            assert "spends" not in await response.text()


async def test_another_agent_stands_in_for_one_that_is_killed(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent(Streams(), record_bodies=False) as agent, asyncio.timeout(SECONDS):
        wanted = config(agent, one={"url": agent.url, "fallback": ["two"], "capabilities": ["chat"]})
        async with running_gateway(wanted, tmp_path, {"callers": Callers}) as gateway:
            await kill(client, gateway, agent="one")
            assert (await Open.of(gateway, "bob", "one")).head["X-Agent-Id"] == "two"
            await kill(client, gateway, agent="two")
            assert (await call(client, gateway, "bob", "one"))[1]["code"] == "agent_killed"
            async with client.get(f"{gateway.url}/capabilities/chat/x", headers={"X-Who": "bob"}) as response:
                assert response.status == 503
            async with client.get(f"{gateway.url}/agents", headers={"X-Who": "bob"}) as response:
                listed = (await response.json())["agents"]
            assert [(one["id"], one["state"]) for one in listed] == [("one", "unavailable"), ("two", "unavailable")]
