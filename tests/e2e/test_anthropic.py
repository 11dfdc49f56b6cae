"""Anthropic: the anthropic package's own client, by either generation's header, and errors in its own envelope."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from aiogate.testing import fake_agent
from tests.e2e.conftest import KEY, Served

anthropic = pytest.importorskip(
    "anthropic", reason="anthropic is not installed: nothing here shows that its client works through the gateway"
)

WRONG_KEY = "agk_test_" + "0bad" * 16
CALL: dict[str, Any] = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
USAGE = {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
EVENTS: tuple[dict[str, Any], ...] = (
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {**USAGE, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
BUSY = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"},"request_id":"req_7"}'


async def answer(request: web.Request) -> web.StreamResponse:
    headers = {"request-id": "req_7"}
    if request.headers.get("X-Busy"):
        return web.Response(status=529, body=BUSY, content_type="application/json", headers=headers)
    if not orjson.loads(await request.read()).get("stream"):
        return web.json_response(MESSAGE, headers=headers)
    events = (f"event: {event['type']}\ndata: {orjson.dumps(event).decode()}\n\n" for event in EVENTS)
    return web.Response(body="".join(events).encode(), content_type="text/event-stream", headers=headers)


SEEN: list[Any] = []


@pytest.fixture
async def agent_url() -> AsyncIterator[str]:
    async with fake_agent(answer) as agent:
        SEEN[:] = [agent]
        yield agent.url


def client_of(gateway: Served, *, agent: str = "assistant", key: str | None = KEY, **more: Any) -> Any:
    url = f"{gateway.url}/agents/{agent}"
    return anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0, **more)


@pytest.mark.parametrize("older", [False, True])
async def test_a_message_is_answered_by_either_header(gateway: Served, older: bool) -> None:
    headers = {"X-Api-Key": KEY, "Authorization": anthropic.Omit()} if older else {}
    async with client_of(gateway, default_headers=headers) as client:
        message = await client.messages.create(**CALL)
        async with client.messages.stream(**CALL) as stream:
            assert await stream.get_final_text() == "hi"
    assert (message.content[0].text, message._request_id) == ("hi", "req_7")
    for request in SEEN[0].seen:
        assert {"Authorization", "X-Api-Key"}.isdisjoint(request.headers)
        assert "anthropic-version" in request.headers
    for record in gateway.records():
        usage = record["usage"]
        assert (usage["source"], usage["input_tokens"], usage["output_tokens"]) == ("measured", 8, 2)


@pytest.mark.parametrize(
    "error, kind, code, agent, key",
    [
        ("AuthenticationError", "authentication_error", "unauthenticated", "assistant", WRONG_KEY),
        ("PermissionDeniedError", "permission_error", "role_required", "restricted", KEY),
        ("NotFoundError", "not_found_error", "unknown_agent", "nobody", KEY),
    ],
)
async def test_a_refusal_is_an_error_that_the_client_has_a_type_for(
    gateway: Served, error: str, kind: str, code: str, agent: str, key: str
) -> None:
    async with client_of(gateway, agent=agent, key=key) as client:
        with pytest.raises(getattr(anthropic, error)) as caught:
            await client.messages.create(**CALL)
    raised = caught.value
    [record] = gateway.records()
    assert (raised.body["type"], raised.body["error"]["type"], raised.body["code"]) == ("error", kind, code)
    assert raised.body["error"]["details"] == {"error_code": code}
    assert raised.request_id == raised.body["request_id"] == record["request_id"]


async def test_a_caller_over_the_limit_is_told_when_to_come_back(gateway: Served) -> None:
    async with client_of(gateway, agent="scarce") as client:
        await client.messages.create(**CALL)
        with pytest.raises(anthropic.RateLimitError) as caught:
            await client.messages.create(**CALL)
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 60


async def test_an_error_of_the_agent_keeps_its_own_words(gateway: Served) -> None:
    async with client_of(gateway) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.messages.create(**CALL, extra_headers={"X-Busy": "1"})
    assert (caught.value.status_code, caught.value.request_id) == (529, "req_7")
    assert caught.value.body == orjson.loads(BUSY)
