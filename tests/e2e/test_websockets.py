"""WebSockets: the websockets package at both ends, with the gateway as a process between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from tests.e2e.conftest import SECONDS, Served, config, serving

websockets = pytest.importorskip(
    "websockets", reason="websockets is not installed: nothing here shows that its clients work through the gateway"
)
MEGABYTES = 8 * 1024 * 1024


@attrs.define
class Agent:
    """Answers each message; what it has heard of its clients' ends is in ``ends``: code and reason."""

    url: str = ""
    ends: asyncio.Queue[tuple[int, str]] = attrs.field(factory=asyncio.Queue)
    seen: list[Any] = attrs.field(factory=list)
    pongs: int = 0

    async def serve(self, socket: Any) -> None:
        self.seen.append(socket.request.headers)
        try:
            async for message in socket:
                match message:
                    case "bye":
                        await socket.close(4321, "as asked")
                    case "ping me":
                        await (await socket.ping())
                        self.pongs += 1
                        await socket.send("pong")
                    case "much":
                        await socket.send(b"x" * MEGABYTES)
                    case _:
                        await socket.send(message)
        finally:
            await socket.wait_closed()
            self.ends.put_nowait((socket.close_code, socket.close_reason))


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    found = Agent()
    choose = {"select_subprotocol": lambda _, offered: "chat.v2" if "chat.v2" in offered else None}
    async with websockets.serve(found.serve, "127.0.0.1", 0, max_size=None, **choose) as server:
        found.url = "http://{}:{}".format(*server.sockets[0].getsockname())
        yield found


@pytest.fixture
async def gateway(agent: Agent, tmp_path: Path) -> AsyncIterator[Served]:
    wanted = config(agent.url)
    wanted["agents"]["one"] = {"url": agent.url, "required_role": "agent_user", "concurrency": 1}
    async with asyncio.timeout(3 * SECONDS), serving(wanted, tmp_path) as served:
        yield served


def conversation(gateway: Served, name: str = "assistant", **options: Any) -> AbstractAsyncContextManager[Any]:
    url = f"{gateway.url.replace('http', 'ws', 1)}/agents/{name}/room?of=one"
    headers = {"Authorization": f"Bearer {gateway.key}"}
    options = {"max_size": None, "proxy": None, "additional_headers": headers, **options}
    context: AbstractAsyncContextManager[Any] = websockets.connect(url, **options)
    return context


async def the_record(gateway: Served, count: int = 1) -> dict[str, Any]:
    """Return the last of so many records, once it is there."""
    async with asyncio.timeout(SECONDS):
        while len(found := [record for record in gateway.records() if "outcome" in record]) < count:
            await asyncio.sleep(0.01)
    return found[-1]


async def test_a_conversation_passes_as_it_is_and_is_counted(agent: Agent, gateway: Served) -> None:
    async with conversation(gateway, subprotocols=["chat.v1", "chat.v2"]) as socket:
        assert socket.subprotocol == "chat.v2"
        for message in ("grüß", b"\0\xff", "", ["in ", "three ", "pieces"]):
            await socket.send(message)
            assert await socket.recv() == ("in three pieces" if isinstance(message, list) else message)
        await (await socket.ping(b"are you there"))
        await socket.send("ping me")
        assert await socket.recv() == "pong"
        await socket.close(4001, "enough")
    assert await agent.ends.get() == (4001, "enough")
    assert agent.pongs == 1
    assert "Authorization" not in agent.seen[0]
    record = await the_record(gateway)
    assert (record["status"], record["outcome"], record["principal"]) == (101, "completed", "alice")
    assert (record["messages_in"], record["messages_out"]) == (5, 5)


async def test_the_agents_end_reaches_the_client_with_code_and_reason(agent: Agent, gateway: Served) -> None:
    async with conversation(gateway) as socket:
        await socket.send("bye")
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (4321, "as asked")
    assert (await the_record(gateway))["outcome"] == "completed"
    assert (await agent.ends.get())[0] == 4321


async def test_a_client_that_vanishes_is_gone_for_the_agent_too(agent: Agent, gateway: Served) -> None:
    async with conversation(gateway) as socket:
        await socket.send("hello")
        await socket.recv()
        socket.transport.abort()
        async with asyncio.timeout(1):
            assert await agent.ends.get() == (1006, "")
    assert (await the_record(gateway))["outcome"] == "client_gone"


async def test_who_reads_slowly_holds_up_the_other_side_and_not_the_gateway(gateway: Served) -> None:
    before = resident(gateway)
    async with conversation(gateway, max_queue=1, compression=None) as socket:
        for _ in range(8):
            await socket.send("much")
        await (await socket.ping())  # the agent has got them; none of its answers was read
        assert resident(gateway) - before < MEGABYTES
        for _ in range(8):
            assert len(await socket.recv()) == MEGABYTES
    assert (await the_record(gateway))["bytes_out"] > 8 * MEGABYTES


def resident(gateway: Served) -> int:
    fields = Path(f"/proc/{gateway.process.pid}/statm").read_text().split()
    return int(fields[1]) * 4096


async def test_open_conversations_count_against_the_agents_limit(gateway: Served) -> None:
    async with conversation(gateway, "one") as socket:
        await socket.send("here")
        await socket.recv()
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with conversation(gateway, "one"):
                pass
        assert refused.value.response.status_code == 429
        assert b'"code":"concurrency_limited"' in refused.value.response.body
    async with conversation(gateway, "one") as socket:
        await socket.send("again")
        assert await socket.recv() == "again"


@pytest.mark.parametrize(("name", "key", "status"), [("restricted", None, 403), ("assistant", "agk_no_key", 401)])
async def test_whoever_may_not_call_hears_it_before_the_handshake(
    name: str, key: str | None, status: int, agent: Agent, gateway: Served
) -> None:
    headers = {"Authorization": f"Bearer {key or gateway.key}"}
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with conversation(gateway, name, additional_headers=headers):
            pass
    assert refused.value.response.status_code == status
    assert refused.value.response.headers["Content-Type"] == "application/problem+json"
    assert not agent.seen


async def test_a_drain_says_when_to_come_back(agent: Agent, gateway: Served) -> None:
    async with conversation(gateway) as socket:
        await socket.send("hello")
        await socket.recv()
        gateway.process.terminate()
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1012
    await agent.ends.get()
    await gateway.stop()
    assert (await the_record(gateway))["outcome"] == "cut"


async def test_a_killed_agents_conversations_end_within_a_second(gateway: Served) -> None:
    async with conversation(gateway) as socket, aiohttp.ClientSession() as operator:
        await socket.send("hello")
        await socket.recv()
        body = {"agent": "assistant", "reason": "it misbehaves"}
        async with operator.post(f"{gateway.operators}/api/kills", json=body) as response:
            assert response.status in {200, 201}, await response.text()
        async with asyncio.timeout(1):
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
        assert "it misbehaves" in socket.close_reason
    assert (await the_record(gateway))["outcome"] == "cut"
