"""OpenAI: the openai package's own client, whose typed errors are what a caller's code is written against."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from aiogate import Clock
from aiogate.builtin.demo_agent import DemoAgent
from tests.e2e.conftest import CALL_NANOUSD, Served

openai = pytest.importorskip(
    "openai", reason="openai is not installed: nothing here shows that its client works through the gateway"
)

WRONG_KEY = "agk_test_" + "0bad" * 16
CALL: dict[str, Any] = {"model": "demo-1", "messages": [{"role": "user", "content": "tell me a story"}]}
INPUT_TOKENS, OUTPUT_TOKENS = 4, 6  # the demo agent's tokens are words: "You said: tell me a story"
COST_NANOUSD = INPUT_TOKENS * 150 + OUTPUT_TOKENS * 600
TOKENS = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
MEASURED = {"source": "measured", "model": "demo-1", **TOKENS}


@pytest.fixture
async def agent_url() -> AsyncIterator[str]:
    runner = web.AppRunner(DemoAgent(Clock()).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def client_of(gateway: Served, *, agent: str = "assistant", key: str | None = None) -> Any:
    base_url = f"{gateway.url}/agents/{agent}/v1"
    return openai.AsyncOpenAI(base_url=base_url, api_key=key or gateway.key, max_retries=0)


async def test_a_completion_is_answered_measured_and_priced(gateway: Served) -> None:
    async with client_of(gateway) as client:
        completion = await client.chat.completions.create(**CALL)
    assert completion.choices[0].message.content == "You said: tell me a story"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    [record] = gateway.records()
    assert (record["principal"], record["agent"]) == ("alice", "assistant")
    assert (record["method"], record["path"]) == ("POST", "/agents/assistant/v1/chat/completions")
    assert (record["status"], record["outcome"]) == (200, "completed")
    assert (record["usage"], record["cost_nanousd"]) == (MEASURED, COST_NANOUSD)


async def test_a_streamed_completion_is_answered_measured_and_priced(gateway: Served) -> None:
    asked = {**CALL, "stream": True, "stream_options": {"include_usage": True}, "extra_query": {"delay_ms": 0}}
    async with client_of(gateway) as client:
        chunks = [chunk async for chunk in await client.chat.completions.create(**asked)]
    told = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(told) == "You said: tell me a story"
    assert chunks[-1].choices == []
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    [record] = gateway.records()
    assert (record["principal"], record["agent"]) == ("alice", "assistant")
    assert (record["status"], record["outcome"]) == (200, "completed")
    assert (record["usage"], record["cost_nanousd"]) == (MEASURED, COST_NANOUSD)


async def test_a_stream_without_usage_stays_as_it_was_and_costs_what_a_call_costs(gateway: Served) -> None:
    asked = {**CALL, "stream": True, "extra_query": {"delay_ms": 0}}
    async with client_of(gateway) as client:
        chunks = [chunk async for chunk in await client.chat.completions.create(**asked)]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    [record] = gateway.records()
    assert (record["status"], record["outcome"]) == (200, "completed")
    assert (record["usage"], record["cost_nanousd"]) == ({"source": "flat"}, CALL_NANOUSD)


@pytest.mark.parametrize(
    "error, status, code, agent, key, principal",
    [
        ("AuthenticationError", 401, "unauthenticated", "assistant", WRONG_KEY, None),
        ("PermissionDeniedError", 403, "role_required", "restricted", None, "alice"),
        ("NotFoundError", 404, "unknown_agent", "nobody", None, "alice"),
    ],
    ids=["wrong key", "missing role", "unknown agent"],
)
async def test_a_refusal_is_an_error_that_the_client_has_a_type_for(
    gateway: Served, error: str, status: int, code: str, agent: str, key: str | None, principal: str | None
) -> None:
    async with client_of(gateway, agent=agent, key=key) as client:
        with pytest.raises(getattr(openai, error)) as caught:
            await client.chat.completions.create(**CALL)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    [record] = gateway.records()
    assert caught.value.request_id == record["request_id"]
    assert (record["principal"], record["status"], record["code"]) == (principal, status, code)
    assert (record["outcome"], record["usage"], record["cost_nanousd"]) == ("refused", {"source": "unknown"}, None)


async def test_a_caller_over_the_rate_limit_is_told_when_to_come_back(gateway: Served) -> None:
    async with client_of(gateway, agent="scarce") as client:
        await client.chat.completions.create(**CALL)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**CALL)
    assert (caught.value.status_code, caught.value.code) == (429, "rate_limited")
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 60
    admitted, refused = gateway.records()
    assert (admitted["status"], admitted["outcome"], admitted["usage"]) == (200, "completed", MEASURED)
    assert (refused["principal"], refused["agent"]) == ("alice", "scarce")
    assert (refused["status"], refused["outcome"], refused["rule"]) == (429, "refused", "rate_limit")


async def test_an_error_of_the_agent_keeps_its_own_words(gateway: Served) -> None:
    async with client_of(gateway) as client:
        with pytest.raises(openai.BadRequestError, match="expected a whole number from 0 to 5000"):
            await client.chat.completions.create(**CALL, stream=True, extra_query={"delay_ms": "soon"})
    [record] = gateway.records()
    assert (record["principal"], record["agent"]) == ("alice", "assistant")
    assert (record["status"], record["outcome"], record["code"]) == (400, "completed", None)
