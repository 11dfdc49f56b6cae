"""``inject_usage``: the agent is asked for the usage of a stream, and the client sees nothing of it."""

import io
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate.builtin.cost import Cost
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous

TEXT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"delta":{"content":"a"}}],"usage":null}\n\n'
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = TEXT + TEXT + USAGE + DONE
ASKS = b'{"model":"m","messages":[],"stream":true}'
ASKS_FOR_USAGE = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}'


class Says:
    """An agent that sends something in pieces of a few bytes."""

    def __init__(self, said: bytes, size: int = 7, *, breaks: bool = False, **headers: str) -> None:
        self.said = said
        self.size = size
        self.breaks = breaks
        self.headers = {"Content-Type": "text/event-stream", **headers}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=self.headers)
        await response.prepare(request)
        for start in range(0, len(self.said), self.size):
            await response.write(self.said[start : start + self.size])
        if self.breaks:
            assert request.transport is not None
            request.transport.close()
        return response


async def asked(agent: Says, path: Path, body: bytes = ASKS, **facts: Any) -> tuple[FakeAgent, RunningGateway, bytes]:
    async with fake_agent(agent) as fake:
        config: dict[str, Any] = {**anonymous(fake.url, inject_usage=True, **facts), "pipeline": {"plugins": ["cost"]}}
        config["plugins"] = {"cost": {"published_prices": False}}
        async with running_gateway(config, path, {"cost": Cost}) as gateway, aiohttp.ClientSession() as client:
            url = f"{gateway.url}/agents/echo/v1/chat/completions"
            async with client.post(url, data=io.BytesIO(body), headers={"Accept-Encoding": "gzip"}) as response:
                got = b""
                try:
                    async for chunk in response.content.iter_any():
                        got += chunk
                except aiohttp.ClientPayloadError:
                    assert agent.breaks
            return fake, gateway, got


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
@pytest.mark.parametrize("length", [{}, {"Content-Length": str(len(STREAM))}], ids=["chunked", "of known length"])
async def test_the_client_sees_all_but_the_usage_which_is_recorded(
    size: int, length: dict[str, str], tmp_path: Path
) -> None:
    fake, gateway, got = await asked(Says(STREAM, size, **length), tmp_path)
    assert got == TEXT + TEXT + DONE
    [seen] = fake.seen
    assert orjson.loads(seen.body) == {**orjson.loads(ASKS), "stream_options": {"include_usage": True}}
    assert seen.headers["Accept-Encoding"] == "identity"
    [record] = gateway.records()
    assert record["usage"] == {"source": "measured", "input_tokens": 3, "output_tokens": 2}
    assert (record["outcome"], record["bytes_out"]) == ("completed", len(got))


@pytest.mark.parametrize("body", [ASKS_FOR_USAGE, b'{"messages":[]}', b"no JSON", b""])
async def test_a_client_that_asks_itself_or_for_no_stream_sees_everything(body: bytes, tmp_path: Path) -> None:
    fake, gateway, got = await asked(Says(STREAM), tmp_path, body)
    assert got == STREAM
    assert fake.seen[0].body == body
    assert fake.seen[0].headers["Accept-Encoding"] == "gzip"
    assert gateway.records()[0]["usage"]["source"] == "measured"


async def test_a_large_request_is_asked_too_and_a_huge_one_passes(tmp_path: Path) -> None:
    for size, visible in ((200_000, False), (1_100_000, True)):
        body = b'{"messages":["%b"],"stream":true}' % (b"x" * size)
        (tmp_path / str(size)).mkdir()
        _, _, got = await asked(Says(STREAM, 100_000), tmp_path / str(size), body)
        assert (USAGE in got) == visible


async def test_an_answer_that_is_no_stream_of_events_is_left_alone(tmp_path: Path) -> None:
    said = b'{"choices":[],"usage":{"prompt_tokens":1}}'
    _, _, got = await asked(Says(said, **{"Content-Type": "application/json"}), tmp_path)
    assert got == said


async def test_amid_the_usage_event_a_stream_that_breaks_still_says_so(tmp_path: Path) -> None:
    """What is held back was never begun, so an error can be said."""
    _, gateway, got = await asked(Says(TEXT + USAGE[:40], breaks=True), tmp_path)
    assert got.startswith(TEXT + b'data: {"error":')
    assert gateway.records()[0]["outcome"] == "upstream_failed"
