"""Connections when another config comes into force: kept to an agent that is the same, closed to one that is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trustme

from aiogate.agent import Agent, Secret
from aiogate.proxy.upstream import Contexts, Response, Upstream
from aiogate.proxy.upstream.endpoint import endpoint_for

SECONDS = 10
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Speaks:
    """An agent that answers every request and counts connections; ``/`` alone is asked for."""

    def __init__(self) -> None:
        self.port = 0
        self.opened = 0
        self.open = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
                await self.go_on.wait()
                writer.write(b"k")
        except (asyncio.IncompleteReadError, ConnectionError):
            self.open -= 1
            writer.close()

    def agent(self, **facts: object) -> Agent:
        return Agent(
            **{
                "id": "a",
                "url": f"http://127.0.0.1:{self.port}",
                "headers": {"x": Secret("1")},
                "idle_connection_seconds": 60.0,
                **facts,
            }
        )  # type: ignore[arg-type]

    async def until_open(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            while self.open != count:
                await asyncio.sleep(0)


@pytest.fixture
async def speaks() -> AsyncIterator[Speaks]:
    script = Speaks()
    server = await asyncio.start_server(script, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    yield script
    await script.until_open(0)
    server.close()


@asynccontextmanager
async def upstream_to(*agents: Agent) -> AsyncIterator[Upstream]:
    upstream = Upstream()
    upstream.adopt({agent.id: agent for agent in agents}, Contexts())
    try:
        yield upstream
    finally:
        upstream.close()


async def begun(upstream: Upstream, agent: Agent) -> Response:
    response, _ = await upstream.to(agent).open("GET", GET, None)
    return response


async def rest_of(response: Response) -> bytes:
    body = bytearray()
    async with asyncio.timeout(SECONDS):
        await response.pour(body.extend)
    body += response.take()
    response.close()
    return bytes(body)


async def call(upstream: Upstream, agent: Agent) -> None:
    assert await rest_of(await begun(upstream, agent)) == b"ok"


async def test_an_agent_that_is_the_same_keeps_its_connections(speaks: Speaks) -> None:
    old, new = speaks.agent(), speaks.agent()
    assert old == new
    async with upstream_to(old) as upstream:
        await call(upstream, old)
        upstream.adopt({"a": new}, Contexts())
        await call(upstream, new)
        await call(upstream, old)
        assert upstream.to(new) is upstream.to(old)
        assert speaks.opened == 1


@pytest.mark.parametrize("gone", [False, True])
async def test_of_an_agent_that_is_not_what_is_idle_is_closed_and_what_is_under_way_goes_on(
    gone: bool, speaks: Speaks
) -> None:
    old, new = speaks.agent(), speaks.agent(headers={"x": Secret("2")})
    async with upstream_to(old) as upstream:
        speaks.go_on.clear()
        first, second = await begun(upstream, old), await begun(upstream, old)
        speaks.go_on.set()
        assert (await rest_of(first), await rest_of(second)) == (b"ok", b"ok")
        speaks.go_on.clear()
        streaming = await begun(upstream, old)
        assert speaks.open == 2
        upstream.adopt({} if gone else {"a": new}, Contexts())
        await speaks.until_open(1)
        speaks.go_on.set()
        assert await rest_of(streaming) == b"ok"
        await speaks.until_open(0)


async def test_an_exchange_of_the_config_before_keeps_nothing_and_disturbs_nobody(speaks: Speaks) -> None:
    """It was admitted before and is sent after: by the old settings, on a connection of its own."""
    old, new = speaks.agent(), speaks.agent(max_idle=7)
    async with upstream_to(old) as upstream:
        upstream.adopt({"a": new}, Contexts())
        await call(upstream, new)
        await call(upstream, old)
        await call(upstream, new)
        assert speaks.opened == 2
        await speaks.until_open(1)
        upstream.adopt({}, Contexts())
        await call(upstream, new)
        await speaks.until_open(0)


def test_certificates_are_read_anew(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    agent = Agent(id="a", url="https://x", ca_file=tmp_path / "ca.pem")
    found = []
    for each in (authority, other):
        each.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context = Upstream.prepare([agent, attrs.evolve(agent, id="b")]).get(endpoint_for(agent).tls)  # type: ignore[arg-type]
        assert context is not None
        found.append(context.get_ca_certs(binary_form=True))
    assert len(found[0]) == len(found[1]) == 1
    assert found[0] != found[1]


def test_a_certificate_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Upstream.prepare([Agent(id="a", url="https://x", ca_file=tmp_path / "none.pem")])
