"""The SDKs' own clients on a stream that breaks: both raise, with the gateway's code, and take nothing for whole."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_terminal_event import ANTHROPIC, OPENAI, RESPONSES

DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"a"}}\n\n'
)
MESSAGES: Any = [{"role": "user", "content": "tell me a story"}]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    """Its agent begins as the path has it, and falls silent."""

    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        begin = {"messages": ANTHROPIC + DELTA, "responses": RESPONSES, "completions": OPENAI}
        await response.write(begin[request.raw_path.rpartition("/")[2]])
        assert request.transport is not None
        request.transport.close()
        return response

    async with fake_agent(breaks) as agent, running_gateway(anonymous(agent.url), tmp_path) as running:
        yield running


async def test_openais_chat_raises(gateway: RunningGateway) -> None:
    openai: Any = pytest.importorskip("openai", reason="openai is not installed")
    got = []
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/agents/echo/v1", api_key="x", max_retries=0) as client:
        with pytest.raises(openai.APIError, match="broke off its answer") as raised:
            async for chunk in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                got.append(chunk.choices[0].delta.content)  # noqa: PERF401 - what came before the error counts
    assert got == ["a"]
    assert raised.value.code == "agent_broke_off"


async def test_openais_responses_raise(gateway: RunningGateway) -> None:
    openai: Any = pytest.importorskip("openai", reason="openai is not installed")
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/agents/echo/v1", api_key="x", max_retries=0) as client:
        with pytest.raises(openai.APIError, match="broke off its answer") as raised:
            async for _ in await client.responses.create(model="m", input="tell me", stream=True):
                pass
    assert raised.value.code == "agent_broke_off"


async def test_anthropics_messages_raise(gateway: RunningGateway) -> None:
    anthropic: Any = pytest.importorskip("anthropic", reason="anthropic is not installed")
    got = []
    async with anthropic.AsyncAnthropic(base_url=f"{gateway.url}/agents/echo", api_key="x", max_retries=0) as client:
        with pytest.raises(anthropic.APIStatusError) as raised:
            async for event in await client.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True):
                got.append(event.type)  # noqa: PERF401 - likewise
    assert got[-1] == "content_block_delta"
    assert raised.value.body["error"]["code"] == "agent_broke_off"
