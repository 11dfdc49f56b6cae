"""Whatever an agent does wrong: what the client sees, how the exchange ends, what is recorded, and nothing leaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from aiogate.builtin.breaker import Breaker
from aiogate.testing import RunningGateway, running_gateway
from aiogate.testing.faults import FAULTS, FaultyAgent, faulty_agent
from aiogate.testing.faulty_agent import ANSWER, EVENTS
from tests.proxy.test_fidelity import connect

SECONDS = 10
FIRST_BYTE_SECONDS = 0.3


@attrs.frozen
class Expected:
    """What the client gets, and how the exchange ends.

    ``reused``: the connection to the agent is as good as before. ``stalls``: it is the client who loses patience.
    """

    status: int = 200
    outcome: str = "completed"
    code: str | None = None
    whole: bool = True
    body: bytes | None = None
    reused: bool = False
    stalls: bool = False

    @property
    def counts(self) -> bool:
        """Whether the breaker counts a failure."""
        return self.outcome == "upstream_failed" or self.status >= 500


UNREACHABLE = Expected(502, "upstream_failed", "agent_unreachable")
NO_HTTP = Expected(502, "upstream_failed", "agent_protocol_error")
SILENT = Expected(504, "upstream_failed", "agent_first_byte_timeout")
CUT = Expected(outcome="upstream_failed", code="agent_broke_off", whole=False)
GARBLED = attrs.evolve(CUT, code="agent_protocol_error")
GIVEN_UP = Expected(outcome="client_gone", whole=False, stalls=True)
HARMLESS = Expected(reused=True)
DISCARDED = Expected()
"""The answer is good, its connection is not."""

EXPECTED = {
    **dict.fromkeys(["closes_on_accept", "resets_on_accept", "closes_before_head", "resets_before_head"], UNREACHABLE),
    **dict.fromkeys(["half_a_head_then_closes", "only_1xx"], UNREACHABLE),
    **dict.fromkeys(["no_response", "half_a_head_then_stalls", "slow_head", "endless_1xx"], SILENT),
    **dict.fromkeys(["garbage_status_line", "not_http", "tls_on_plain_port", "http2_frames", "version_2"], NO_HTTP),
    **dict.fromkeys(["body_without_head", "status_0", "status_999", "bare_lf", "unasked_101"], NO_HTTP),
    **dict.fromkeys(["nul_in_header", "control_in_header", "cr_in_header", "folded_header"], NO_HTTP),
    **dict.fromkeys(["space_before_colon", "header_without_colon", "many_headers", "endless_headers"], NO_HTTP),
    **dict.fromkeys(["length_and_chunked", "two_lengths", "two_lengths_in_one", "negative_length"], NO_HTTP),
    **dict.fromkeys(["length_in_words", "endless_length", "gzip_chunked", "chunked_twice"], NO_HTTP),
    **dict.fromkeys(["unknown_transfer"], NO_HTTP),
    **dict.fromkeys(["length_too_long", "closes_mid_body", "resets_mid_body"], CUT),
    **dict.fromkeys(["closes_after_head", "resets_after_head"], attrs.evolve(CUT, body=b"")),
    **dict.fromkeys(["half_a_size_then_closes", "no_last_chunk", "half_a_last_chunk"], CUT),
    **dict.fromkeys(["half_a_chunk_then_closes"], CUT),
    **dict.fromkeys(["invalid_chunk_size", "negative_chunk_size", "huge_chunk_size"], GARBLED),
    **dict.fromkeys(["chunk_longer_than_its_size", "bare_lf_in_chunks"], GARBLED),
    "stalls_mid_body": GIVEN_UP,
    "stalls_after_head": attrs.evolve(GIVEN_UP, body=b""),
    **dict.fromkeys(["extra_bytes_after_body", "second_response", "late_second_response"], DISCARDED),
    "body_after_204": Expected(204, body=b""),
    "closes_idle_connection": HARMLESS,
    "slow_body": HARMLESS,
    "early_response": HARMLESS,
    "early_413_then_closes": Expected(413),
    "redirect": Expected(302, reused=True),
    "status_500": Expected(500, reused=True),
    "status_503_retry_after": Expected(503, reused=True),
    "status_529_retry_after": Expected(529, reused=True),
    "status_429_retry_after": Expected(429, reused=True),
}


def test_of_every_fault_it_is_known_how_it_ends() -> None:
    assert set(EXPECTED) == set(FAULTS)
    assert len(FAULTS) >= 25


@attrs.define
class Seen:
    """An answer as it came over the wire; ``whole`` says whether it ended as its framing has it."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


class Client:
    """A client that believes nothing but bytes, on a connection for one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str, body: bytes = b"") -> None:
        head = (
            f"{method} /agents/faulty/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    async def answer(self, agent: FaultyAgent) -> Seen:
        """Read the answer to its end; what goes wrong in its middle does so when its beginning is here."""
        status, headers = await self.head()
        length = int(headers.get("content-length", "0"))
        begun = await self.reader.read(1) if self.is_begun_well(status, agent) else b""
        agent.go_on.set()
        raw = begun + await self.reader.read()
        if headers.get("transfer-encoding") == "chunked":
            body, whole = unchunked(raw)
            return Seen(status, headers, body, whole)
        return Seen(status, headers, raw, len(raw) == length)

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:] if line)

    @staticmethod
    def is_begun_well(status: int, agent: FaultyAgent) -> bool:
        """Tell whether the agent now waits for its cue in the middle of a body."""
        return status == 200 and not agent.go_on.is_set() and EXPECTED[agent.fault].body is None


@asynccontextmanager
async def a_client(gateway: RunningGateway) -> AsyncIterator[Client]:
    reader, writer = await connect(gateway.url)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def unchunked(raw: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        size, line, rest = raw.partition(b"\r\n")
        if not line:
            return body, False
        if size == b"0":
            return body, rest == b"\r\n"
        body += rest[: int(size, 16)]
        raw = rest[int(size, 16) + 2 :]


@asynccontextmanager
async def before(agent: FaultyAgent, path: Path, **facts: Any) -> AsyncIterator[RunningGateway]:
    config: dict[str, Any] = {
        "server": {"anonymous": True},
        "pipeline": {"plugins": ["breaker"]},
        "agents": {"faulty": {"url": agent.url, "first_byte_seconds": FIRST_BYTE_SECONDS, **facts}},
    }
    async with running_gateway(config, path) as gateway:
        yield gateway


def failures(gateway: RunningGateway) -> int:
    breaker = gateway.gateway.pipeline.plugins["breaker"]
    assert isinstance(breaker, Breaker)
    return sum(status.failures for status in breaker.statuses())


async def recorded(gateway: RunningGateway, count: int) -> dict[str, Any]:
    """Return the last of so many records once it is there and nothing is under way any more."""
    house = gateway.gateway.house
    while len(gateway.records()) < count or house.open_exchanges:
        await asyncio.sleep(0)
    await house.tasks.join()
    [*_, record] = gateway.records()
    assert len(gateway.records()) == count
    return record


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_ends_its_own_exchange_and_harms_no_other(fault: str, stream: bool, tmp_path: Path) -> None:
    expected, tasks = EXPECTED[fault], asyncio.all_tasks()
    async with asyncio.timeout(SECONDS), faulty_agent(fault, stream=stream, times=1, cued=True) as agent:
        async with before(agent, tmp_path) as gateway:
            async with a_client(gateway) as client:
                await client.ask("POST", b"q" * 100)
                seen = await (gives_up(client, agent) if expected.stalls else client.answer(agent))
            assert (seen.status, seen.whole) == (expected.status, expected.whole)
            record = await recorded(gateway, 1)
            check_record(record, seen, expected)
            assert failures(gateway) == expected.counts
            if expected.whole and expected.code is None:
                assert seen.body == (good(stream) if expected.body is None else expected.body)
            if not expected.reused:
                await agent.deserted()
            await client_is_served_well(gateway, agent, stream)
            assert agent.connections == 1 + (not expected.reused or fault == "closes_idle_connection")
    while asyncio.all_tasks() != tasks:
        await asyncio.sleep(0)


async def gives_up(client: Client, agent: FaultyAgent) -> Seen:
    """Lose patience with an agent that has fallen silent after a good beginning; who called it hangs up."""
    status, headers = await client.head()
    if EXPECTED[agent.fault].body is None:
        await client.reader.read(1)
    agent.go_on.set()
    return Seen(status, headers, b"", whole=False)


def check_record(record: dict[str, Any], seen: Seen, expected: Expected) -> None:
    assert (record["status"], record["outcome"], record["code"]) == (expected.status, expected.outcome, expected.code)
    assert (record["agent"], record["bytes_in"]) == ("faulty", 100)
    if expected.status >= 500 and expected.code is not None:
        assert seen.headers["content-type"] == "application/problem+json"
        assert f'"code":"{expected.code}"'.encode() in seen.body
    if not expected.stalls:
        assert record["bytes_out"] == len(seen.body)
        of_the_agent, said, error = seen.body.partition(b"event: error\n")
        assert (len(of_the_agent) > 0) == (expected.body != b"")
        assert not said or f'"code":"{expected.code}"'.encode() in error


async def client_is_served_well(gateway: RunningGateway, agent: FaultyAgent, stream: bool) -> None:
    """Whoever comes next gets a whole answer that is its own."""
    async with a_client(gateway) as client:
        await client.ask("GET")
        seen = await client.answer(agent)
    assert (seen.status, seen.body, seen.whole) == (200, good(stream), True)


def good(stream: bool) -> bytes:
    return b"".join(EVENTS) if stream else ANSWER


@pytest.mark.parametrize("fault, status", [("early_413_then_closes", 413), ("early_response", 200)])
async def test_an_answer_that_comes_before_the_body_has_left_reaches_its_client(
    fault: str, status: int, tmp_path: Path
) -> None:
    """The client sends ten megabytes, of which the agent reads none before it answers."""
    async with asyncio.timeout(SECONDS), faulty_agent(fault, times=1) as agent, before(agent, tmp_path) as gateway:
        async with a_client(gateway) as client:
            asking = asyncio.create_task(client.ask("POST", b"q" * 10_000_000))
            seen = await client.answer(agent)
            assert (seen.status, seen.body, seen.whole) == (status, ANSWER, True)
            await asyncio.gather(asking, return_exceptions=True)
        assert (await recorded(gateway, 1))["outcome"] == "completed"
        await agent.deserted()
        await client_is_served_well(gateway, agent, stream=False)


async def test_a_post_is_not_sent_twice_when_the_agent_closes_an_idle_connection(tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS), faulty_agent("closes_idle_connection", times=1) as agent:
        async with before(agent, tmp_path) as gateway:
            for status in (200, 502, 200):
                async with a_client(gateway) as client:
                    await client.ask("POST", b"q")
                    assert (await client.answer(agent)).status == status
            assert len(agent.heads) == 3


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("fault", ["stalls_mid_body", "stalls_after_head"])
async def test_where_patience_is_bounded_a_silence_is_the_agents_failure(
    fault: str, stream: bool, tmp_path: Path
) -> None:
    async with asyncio.timeout(SECONDS), faulty_agent(fault, stream=stream, times=1) as agent:
        async with before(agent, tmp_path, idle_seconds=FIRST_BYTE_SECONDS) as gateway:
            async with a_client(gateway) as client:
                await client.ask("POST", b"q")
                seen = await client.answer(agent)
            assert (seen.status, seen.whole) == (200, False)
            record = await recorded(gateway, 1)
            assert (record["status"], record["outcome"]) == (200, "upstream_failed")
            assert record["code"] == "agent_idle_timeout"
            assert failures(gateway) == 1
            await agent.deserted()
            await client_is_served_well(gateway, agent, stream)
