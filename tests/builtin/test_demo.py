import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import orjson
import pytest
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from aiogate import Agent, AiogateError, Clock
from aiogate.builtin.demo import Demo, DemoConfig
from aiogate.builtin.demo_agent import DemoAgent
from aiogate.usage import reader_for


@attrs.frozen
class StandIn:
    """As much of a gateway as a lifespan gets to see."""

    agents: Mapping[str, Agent] = attrs.field(factory=dict)
    clock: Clock = attrs.field(factory=lambda: Clock(wall=lambda: 1_700_000_000.5))
    generation: int = 1


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    """A client whose base URL is a running demo agent."""
    demo = Demo(DemoConfig(listen="127.0.0.1:0"))
    async with demo.lifespan(StandIn()):
        assert demo.url is not None
        async with ClientSession(demo.url, timeout=ClientTimeout(total=20)) as session:
            yield session


async def events(client: ClientSession, method: str, path: str, **request: Any) -> list[Any]:
    """Return the data of every event of an answer, the last one ``[DONE]``."""
    async with client.request(method, path, **request) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        text = (await response.read()).decode()
    data = [event.removeprefix("data: ") for event in text.split("\n\n")]
    assert data[-2:] == ["[DONE]", ""]
    return [orjson.loads(payload) for payload in data[:-2]]


async def test_the_chat_answers_and_counts_words(client: ClientSession) -> None:
    async with client.post("/chat", json={"message": "where is my refund"}) as response:
        assert await response.json() == {
            "reply": "You said: where is my refund",
            "model": "demo-1",
            "usage": {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10},
        }


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_stream_says_one_word_an_event_and_its_usage_at_the_end(client: ClientSession, method: str) -> None:
    *words, last = await events(client, method, "/stream?words=14&delay_ms=0")
    assert [list(word) for word in words] == [["word"]] * 14
    assert (last["model"], last["choices"]) == ("demo-1", [])
    assert last["usage"] == {"prompt_tokens": 0, "completion_tokens": 14, "total_tokens": 14}


async def test_a_word_is_sent_before_the_next_one_is_said(client: ClientSession) -> None:
    async with client.get("/stream?words=2&delay_ms=5000") as response:
        assert await response.content.readany() == b'data: {"word":"every"}\n\n'


async def test_a_completion_has_the_shape_of_openais(client: ClientSession) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ]
    async with client.post("/v1/chat/completions", json={"model": "x", "messages": messages}) as response:
        assert await response.json() == {
            "id": "chatcmpl-demo-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "demo-1",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "You said: Hi"}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
        }


async def test_parts_of_a_message_that_are_no_text_count_as_nothing(client: ClientSession) -> None:
    content = [
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": None},
        5,
        {"type": "text", "text": "Hi"},
    ]
    request = {"messages": [{"role": "assistant"}, {"role": "user", "content": content}]}
    async with client.post("/v1/chat/completions", json=request) as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "You said: Hi"


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}])
async def test_a_streamed_completion_says_its_usage_only_when_asked(client: ClientSession, options: Any) -> None:
    request = {"messages": [{"role": "user", "content": "Hi"}], "stream": True, "stream_options": options}
    chunks = await events(client, "POST", "/v1/chat/completions?delay_ms=0", json=request)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "You said: Hi"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["stop"]
    assert not any("usage" in chunk for chunk in chunks)


async def test_a_streamed_completion_that_is_asked_says_its_usage_last(client: ClientSession) -> None:
    request = {
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    *chunks, last = await events(client, "POST", "/v1/chat/completions?delay_ms=0", json=request)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}


async def test_what_the_agent_says_it_used_can_be_measured(client: ClientSession) -> None:
    async with client.get("/stream?words=3&delay_ms=0") as response:
        reader = reader_for(response.headers["Content-Type"], None, response.status)
        assert reader is not None
        async for chunk in response.content.iter_any():
            reader.feed(chunk)
    assert (reader.result().model, reader.result().output_tokens) == ("demo-1", 3)


async def test_the_models_are_one(client: ClientSession) -> None:
    async with client.get("/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["demo-1"]


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "PURGE"])
async def test_the_echo_tells_what_arrived(client: ClientSession, method: str) -> None:
    headers = [("X-A", "1"), ("X-A", "2"), ("X-Request-Id", "abc")]
    url = URL("/echo/a%2Fb?q=%41", encoded=True)
    async with client.request(method, url, headers=headers, data=b"12345") as response:
        echo = await response.json()
    assert (echo["method"], echo["path"], echo["body_bytes"]) == (method, "/echo/a%2Fb?q=%41", 5)
    assert (echo["headers"]["X-A"], echo["headers"]["X-Request-Id"]) == ("1, 2", "abc")


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "Cookie", "X-API-Key", "X-Auth-Token"])
async def test_the_echo_masks_credentials(client: ClientSession, name: str) -> None:
    async with client.get("/echo", headers={name: "hunter2"}) as response:
        assert (await response.json())["headers"][name] == "***"


async def test_the_echo_counts_a_compressed_body_as_it_arrived(client: ClientSession) -> None:
    async with client.post("/echo", data=b"not really", headers={"Content-Encoding": "gzip"}) as response:
        assert (await response.json())["body_bytes"] == 10


async def test_the_echo_takes_a_header_that_is_no_utf_8() -> None:
    demo = Demo(DemoConfig(listen="127.0.0.1:0"))
    async with demo.lifespan(StandIn()):
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(demo.url or "").port)
        writer.write(b"GET /echo HTTP/1.1\r\nHost: x\r\nX-A: caf\xe9\r\nConnection: close\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 200")
    assert orjson.loads(body)["headers"]["X-A"] == "caf\N{REPLACEMENT CHARACTER}"


async def test_the_slow_one_answers_in_the_end(client: ClientSession) -> None:
    async with client.get("/slow?seconds=0.001") as response:
        assert await response.json() == {"slept_seconds": 0.001}


@pytest.mark.parametrize("query, status", [("", 503), ("?status=400", 400), ("?status=599", 599)])
async def test_the_failing_one_fails_as_asked(client: ClientSession, query: str, status: int) -> None:
    async with client.post(f"/fail{query}") as response:
        assert response.status == status
        assert str(status) in (await response.json())["error"]["message"]


async def test_the_health_is_well(client: ClientSession) -> None:
    async with client.get("/health") as response:
        assert await response.json() == {"status": "ok"}


async def test_the_index_names_every_endpoint(client: ClientSession) -> None:
    async with client.get("/") as response:
        named = {line.split()[1] for line in (await response.json())["endpoints"]}
    routes = DemoAgent(Clock()).application().router.resources()
    assert named == {route.canonical for route in routes} - {"/", "/echo/{rest}"}


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/stream?words=0", "words: expected a whole number from 1 to 1000, got '0'"),
        ("/stream?words=1001", "words: expected a whole number from 1 to 1000, got '1001'"),
        ("/stream?words=1.5", "words: expected a whole number from 1 to 1000, got '1.5'"),
        ("/stream?delay_ms=-1", "delay_ms: expected a whole number from 0 to 5000, got '-1'"),
        ("/stream?delay_ms=5001", "delay_ms: expected a whole number from 0 to 5000, got '5001'"),
        ("/slow?seconds=61", "seconds: expected a number from 0 to 60, got '61'"),
        ("/slow?seconds=nan", "seconds: expected a number from 0 to 60, got 'nan'"),
        ("/fail?status=200", "status: expected a whole number from 400 to 599, got '200'"),
    ],
)
async def test_a_number_out_of_bounds_is_refused(client: ClientSession, path: str, expected: str) -> None:
    async with client.post(path) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"] == expected


@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"message":5,"messages":5}', b'{"messages":[1]}'])
async def test_a_body_that_is_not_what_was_expected_is_refused(client: ClientSession, path: str, body: bytes) -> None:
    async with client.post(path, data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"].startswith("expected ")


@pytest.mark.parametrize("method, path, status", [("GET", "/nowhere", 404), ("GET", "/chat", 405)])
async def test_other_paths_and_methods_get_json_too(client: ClientSession, method: str, path: str, status: int) -> None:
    async with client.request(method, path) as response:
        assert response.status == status
        assert response.headers.get("Allow") == ("POST" if status == 405 else None)
        assert "GET / lists" in (await response.json())["error"]["message"]


async def test_an_occupied_port_is_an_error_that_names_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        demo = Demo(DemoConfig(listen=listen))
        with pytest.raises(AiogateError, match=f"cannot listen on {listen}.*choose another port"):
            async with demo.lifespan(StandIn()):
                pass
    assert demo.url is None


async def test_the_agent_is_gone_when_the_gateway_stops() -> None:
    demo = Demo(DemoConfig(listen="127.0.0.1:0"))
    async with demo.lifespan(StandIn()):
        url = URL(demo.url or "")
    assert demo.url is None
    with socket.socket() as probe:
        assert probe.connect_ex((url.host, url.port)) != 0


async def test_a_stream_that_never_ends_does_not_hold_up_the_stop() -> None:
    demo = Demo(DemoConfig(listen="127.0.0.1:0"))
    async with ClientSession(timeout=ClientTimeout(total=20)) as session:
        async with demo.lifespan(StandIn()):
            response = await session.get(f"{demo.url}/stream?words=1000&delay_ms=5000")
        with pytest.raises(Exception, match="payload"):
            await response.read()


async def test_ipv6_loopback_will_do() -> None:
    demo = Demo(DemoConfig(listen="[::1]:0"))
    async with demo.lifespan(StandIn()), ClientSession() as session, session.get(f"{demo.url}/health") as response:
        assert response.status == 200


@pytest.mark.parametrize("listen", ["127.0.0.1:8099", "127.0.0.2:0", "[::1]:65535"])
def test_a_loopback_address_is_taken(listen: str) -> None:
    assert DemoConfig(listen=listen).listen == listen


@pytest.mark.parametrize(
    "listen", ["", "8099", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "0.0.0.0:80", "demo:80"]
)
def test_any_other_address_is_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="expected a loopback address and a port"):
        DemoConfig(listen=listen)
