"""A stream that ends before its time says so in its dialect, and never makes a whole event out of half a one."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous

SECONDS = 10
OPENAI = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
ANTHROPIC = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":1}}}\n\n'
RESPONSES = b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n'
GEMINI = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\r\n\r\n'
A2A = b'data: {"jsonrpc":"2.0","id":"r-7","result":{"kind":"status-update"}}\n\n'
A2A_AS_PYDANTIC_HAS_IT = b'data: {"id":17,"jsonrpc":"2.0","result":{"kind":"status-update"}}\n\n'
PLAIN = b"event: word\ndata: hello\n\n"
RECORD = b'{"model":"m","message":{"content":"a"},"done":false}\n'


class Breaks:
    """An agent that says something and then breaks off, or falls silent."""

    def __init__(self, said: bytes, *, silent: bool = False, **headers: str) -> None:
        self.said = said
        self.silent = silent
        self.headers = {"Content-Type": "text/event-stream", **headers}
        self.passed = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=self.headers)
        await response.prepare(request)
        for byte in (self.said[:-3], self.said[-3:-2], self.said[-2:-1], self.said[-1:]):
            await response.write(byte)
        await self.passed.wait()
        if self.silent:
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.close()
        return response


async def what_is_left(
    agent: Breaks, path: Path, way: str = "s", *, body: bytes = b"", settings: Mapping[str, Any] | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Return what the client gets after what the agent has said, and the record."""
    async with fake_agent(agent) as fake, running_gateway(anonymous(fake.url, **settings or {}), path) as gateway:
        async with asyncio.timeout(SECONDS), aiohttp.ClientSession(auto_decompress=False) as client:
            async with client.post(f"{gateway.url}/agents/echo/{way}", data=body) as response:
                got = await response.content.readexactly(len(agent.said))
                agent.passed.set()
                with pytest.raises(aiohttp.ClientPayloadError):
                    while chunk := await response.content.readany():
                        got += chunk
        [record] = gateway.records()
    assert got.startswith(agent.said)
    assert record["outcome"] == "upstream_failed"
    assert record["bytes_out"] == len(got)
    return got[len(agent.said) :], record


def data_of(event: bytes) -> Any:
    match = re.fullmatch(rb"(?:event: error\n)?data: (.*)\n\n", event)
    assert match is not None, event
    return orjson.loads(match[1])


@pytest.mark.parametrize(
    "said, way",
    [(OPENAI, "s"), (b"", "v1/chat/completions"), (b": hello\n\n", "v1/completions")],
    ids=["by its beginning", "by the path", "after a comment"],
)
async def test_openai(said: bytes, way: str, tmp_path: Path) -> None:
    event, record = await what_is_left(Breaks(said), tmp_path, way)
    error = data_of(event)["error"]
    assert not event.startswith(b"event:")
    assert (error["code"], error["type"]) == ("agent_broke_off", "api_error")
    assert error["request_id"] == record["request_id"]
    assert record["code"] == "agent_broke_off"


async def test_openai_responses(tmp_path: Path) -> None:
    event, _ = await what_is_left(Breaks(RESPONSES), tmp_path)
    assert event.startswith(b"event: error\n")
    said = data_of(event)
    assert (said["type"], said["code"], said["error"]["code"]) == ("error", "agent_broke_off", "agent_broke_off")


@pytest.mark.parametrize("said, way", [(ANTHROPIC, "s"), (b"", "v1/messages")], ids=["by its beginning", "by the path"])
async def test_anthropic(said: bytes, way: str, tmp_path: Path) -> None:
    event, _ = await what_is_left(Breaks(said), tmp_path, way)
    assert event.startswith(b"event: error\n")
    said_last = data_of(event)
    assert (said_last["type"], said_last["error"]["type"]) == ("error", "api_error")


async def test_gemini(tmp_path: Path) -> None:
    event, _ = await what_is_left(Breaks(GEMINI), tmp_path)
    assert data_of(event)["error"]["status"] == "UNAVAILABLE"


@pytest.mark.parametrize("said, request_id", [(A2A, "r-7"), (A2A_AS_PYDANTIC_HAS_IT, 17)])
async def test_a2a_answers_the_request_that_it_belongs_to(said: bytes, request_id: str | int, tmp_path: Path) -> None:
    event, _ = await what_is_left(Breaks(said), tmp_path)
    answer = data_of(event)
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", request_id)
    assert answer["error"]["code"] == -32603
    assert answer["error"]["data"]["code"] == "agent_broke_off"


@pytest.mark.parametrize("request_id", ["1" + "0" * 30, '"\\ud800"'])
async def test_an_id_that_json_hardly_has_words_for_keeps_no_record_from_being_written(
    request_id: str, tmp_path: Path
) -> None:
    body = f'{{"jsonrpc": "2.0", "id": {request_id}, "method": "SendStreamingMessage"}}'.encode()
    event, record = await what_is_left(Breaks(b": \n\n"), tmp_path, body=body, settings={"protocol": "a2a"})
    assert f'"id": {request_id}'.encode() in event
    assert record["call"]["method"] == "SendStreamingMessage"


async def test_a2a_without_an_event_answers_nobody_in_particular(tmp_path: Path) -> None:
    event, _ = await what_is_left(Breaks(b""), tmp_path, settings={"usage": "a2a"})
    assert data_of(event)["id"] is None


async def test_plain_events(tmp_path: Path) -> None:
    event, _ = await what_is_left(Breaks(PLAIN), tmp_path)
    assert event.startswith(b"event: error\ndata: ")
    assert data_of(event)["error"]["message"] == "agent 'echo' broke off its answer"


async def test_records_end_with_one_that_is_an_error(tmp_path: Path) -> None:
    line, _ = await what_is_left(Breaks(RECORD, **{"Content-Type": "application/x-ndjson; charset=utf-8"}), tmp_path)
    assert line.endswith(b"\n")
    said = orjson.loads(line)
    assert (said["error"], said["code"]) == ("agent 'echo' broke off its answer", "agent_broke_off")


HALVES = [PLAIN[:at] for at in range(1, len(PLAIN))]


@pytest.mark.parametrize("half", [*HALVES[:2], HALVES[-4], HALVES[-1], *(half + b"\r" for half in HALVES[-2:-1])])
async def test_amid_an_event_nothing_is_said_that_would_make_a_whole_one_of_it(half: bytes, tmp_path: Path) -> None:
    """What is not followed by a blank line a client throws away at the end, as the standard says."""
    left, record = await what_is_left(Breaks(PLAIN + half), tmp_path)
    assert (left, record["code"]) == (b"", "agent_broke_off")


@pytest.mark.parametrize(
    "end, between",
    [
        (b"\n\n", True),
        (b"\r\n\r\n", True),
        (b"\r\r", True),
        (b"\n\r\n", True),
        (b"\r\n\n", True),
        (b"\n", False),
        (b"\r\n", False),
        (b"\r", False),
    ],
)
async def test_an_event_ends_with_a_blank_line_of_whatever_kind(end: bytes, between: bool, tmp_path: Path) -> None:
    left, _ = await what_is_left(Breaks(b"data: a" + end), tmp_path)
    assert left.startswith(b"event: error\n") == between


@pytest.mark.parametrize(
    "agent",
    [
        Breaks(PLAIN, **{"Content-Encoding": "gzip"}),
        Breaks(PLAIN, **{"Content-Length": "1000"}),
        Breaks(RECORD[:-1], **{"Content-Type": "application/x-ndjson"}),
        Breaks(RECORD, **{"Content-Type": "application/json"}),
    ],
    ids=["compressed", "of known length", "half a record", "no stream"],
)
async def test_where_no_event_can_be_said_the_connection_alone_speaks(agent: Breaks, tmp_path: Path) -> None:
    agent.passed = asyncio.Event()
    left, _ = await what_is_left(agent, tmp_path)
    assert left == b""


@pytest.mark.parametrize("setting", ["idle_seconds", "total_seconds"])
async def test_each_timeout_has_its_own_code(setting: str, tmp_path: Path) -> None:
    event, record = await what_is_left(Breaks(OPENAI, silent=True), tmp_path, settings={setting: 0.3})
    code = f"agent_{setting.removesuffix('_seconds')}_timeout"
    assert data_of(event)["error"]["code"] == record["code"] == code
    assert data_of(event)["error"]["type"] == "timeout_error"


@pytest.mark.parametrize(
    "content_type, headers",
    [("text/event-stream", {}), ("application/json", {}), ("text/plain", {"Content-Length": "1000"})],
    ids=["events", "unknown length", "known length"],
)
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
async def test_curl_exits_with_an_error(
    content_type: str, headers: dict[str, str], version: str, tmp_path: Path
) -> None:
    agent = Breaks(PLAIN, **{"Content-Type": content_type, **headers})
    agent.passed.set()
    async with fake_agent(agent) as fake, running_gateway(anonymous(fake.url), tmp_path) as gateway:
        url = f"{gateway.url}/agents/echo/s"
        async with asyncio.timeout(SECONDS):
            curl = await asyncio.create_subprocess_exec("curl", "-sN", version, url, stdout=asyncio.subprocess.PIPE)
            said, _ = await curl.communicate()
    assert curl.returncode in {18, 56}  # the body is not whole; the connection was reset
    assert said.startswith(PLAIN)
