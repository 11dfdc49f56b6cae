"""Requests that mean harm: each is refused, or reaches the agent as exactly one request with exactly its body."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from aiogate.testing import running_gateway
from tests.configs import anonymous
from tests.e2e.hostile import ALL, Hostile, chunks
from tests.e2e.hostile.recording import Got, Recording, recording_agent
from tests.e2e.hostile.request import SECRET
from tests.proxy.test_fidelity import connect

SECONDS = 5
MAX_BODY = 200_000
CANARY = b"GET /agents/echo/canary HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"


@attrs.frozen
class Answer:
    status: int
    raw: bytes


async def answers(reader: asyncio.StreamReader) -> AsyncIterator[Answer]:
    """Yield what the gateway answers until it closes; interim responses are none."""
    while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        status = int(head.split()[1])
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        if status >= 200:
            yield Answer(status, head + body)


async def conversation(url: str, hostile: Hostile, body_may_leave: asyncio.Event | None) -> list[Answer]:
    """Send the request, read its answers, send another request where the connection is still open."""
    reader, writer = await connect(url)
    heard = []
    try:
        head, end, body = hostile.raw.partition(b"\r\n\r\n")
        writer.write(head + end)
        if body_may_leave is not None:
            await body_may_leave.wait()
        writer.write(body)
        if hostile.ends:
            writer.write_eof()
        async for answer in answers(reader):
            heard.append(answer)
            if len(heard) == 1 + len(hostile.then) and not hostile.ends:
                writer.write(CANARY)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return heard


def test_the_corpus_is_large_and_names_each_request_once() -> None:
    assert len(ALL) >= 80
    assert len({hostile.name for hostile in ALL}) == len(ALL)


@pytest.mark.parametrize("hostile", [pytest.param(hostile, id=hostile.name) for hostile in ALL])
async def test_it_is_refused_or_reaches_the_agent_as_exactly_what_it_is(
    hostile: Hostile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await meet(hostile, tmp_path)
    check_log(caplog)


@pytest.mark.parametrize("hostile", [pytest.param(hostile, id=hostile.name) for hostile in chunks.REQUESTS])
async def test_so_it_is_when_its_body_comes_after_the_agent_has_the_head(hostile: Hostile, tmp_path: Path) -> None:
    await meet(hostile, tmp_path, body_later=True)


async def test_a_body_that_breaks_later_leaves_no_traceback_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [hostile] = (hostile for hostile in chunks.REQUESTS if hostile.name == "chunk whose size is a word")
    await meet(hostile, tmp_path, body_later=True)
    check_log(caplog)


async def meet(hostile: Hostile, path: Path, *, body_later: bool = False) -> None:
    """Send it to a gateway before an agent that writes everything down, and look at what became of it."""
    async with recording_agent() as agent:
        config = anonymous(agent.url, max_body=MAX_BODY)
        async with running_gateway(config, path) as gateway, asyncio.timeout(SECONDS):
            heard = await conversation(gateway.url, hostile, agent.head_arrived if body_later else None)
            while gateway.gateway.house.open_exchanges:
                await asyncio.sleep(0)
            outcomes = {record["outcome"] for record in gateway.records()}
    assert agent.wrong == []
    check_answers(hostile, heard, agent)
    for got in agent.got:
        check_headers(hostile, got, agent)
    assert outcomes <= {"completed", "refused", "client_gone"}


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing a client sends is an error of the gateway, and no credential is in the log."""
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert SECRET.decode() not in caplog.text


def check_answers(hostile: Hostile, heard: list[Answer], agent: Recording) -> None:
    """Compare what the client heard with what the agent got: nobody takes a part of one request for another one."""
    statuses = [answer.status for answer in heard]
    asked = [(got.method, got.target, got.body) for got in agent.got if got.target != "/canary"]
    if asked:
        assert hostile.body is not None
        assert asked == [
            (hostile.method, hostile.target, hostile.body),
            *(("GET", target, b"") for target in hostile.then),
        ]
        assert statuses == [200] * len(agent.got)
    else:
        assert hostile.body is None or hostile.optional
        assert (hostile.ends and statuses == []) or statuses[0] in hostile.statuses
        assert statuses[1:] == [200] * len(agent.got)  # where its end was known, the next request is served
    assert SECRET not in b"".join(answer.raw for answer in heard)


def check_headers(hostile: Hostile, got: Got, agent: Recording) -> None:
    """What the gateway vouches for is there once and is its own; what ends at the gateway is not there."""
    for name in hostile.absent:
        assert got.values(name) == []
    assert got.values("x-user-id") == ["anonymous"]
    assert got.values("x-forwarded-for") == ["127.0.0.1"]
    assert got.values("x-forwarded-proto") == ["http"]
    assert got.values("x-forwarded-prefix") == ["/agents/echo"]
    assert got.values("x-forwarded-host") in (["gateway"], [], ["a:8080"])
    assert got.values("host") == [agent.url.removeprefix("http://")]
    [request_id] = got.values("x-request-id")
    assert len(request_id) == 32
