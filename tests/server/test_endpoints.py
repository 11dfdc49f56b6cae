"""An agent with several endpoints, in a running gateway: which is called, when again, and what is told of it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway

SECONDS = 10
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answering(status: int, **headers: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status, text=str(status), headers=headers)

    return handle


def nowhere() -> str:
    """Return the URL of a port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@asynccontextmanager
async def agents(*handlers: Handler) -> AsyncIterator[list[FakeAgent]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(fake_agent(handler)) for handler in handlers]


@asynccontextmanager
async def before(
    path: Path, urls: list[str], **facts: Any
) -> AsyncIterator[tuple[RunningGateway, aiohttp.ClientSession]]:
    config = {"server": {"anonymous": True}, "agents": {"support": {"urls": urls, **facts}}}
    async with (
        asyncio.timeout(SECONDS),
        running_gateway(config, path) as gateway,
        aiohttp.ClientSession(gateway.url, auto_decompress=False) as session,
    ):
        yield gateway, session


async def endpoints(gateway: RunningGateway) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}/readyz?verbose") as answer:
        said: list[dict[str, Any]] = (await answer.json())["endpoints"]["support"]
        return said


async def test_requests_go_round_where_nothing_is_pending(tmp_path: Path) -> None:
    async with agents(answering(200), answering(200)) as (one, other):
        async with before(tmp_path, [one.url, other.url]) as (_, session):
            for _ in range(6):
                assert (await session.get("/agents/support/x")).status == 200
        assert (len(one.seen), len(other.seen)) == (3, 3)


async def test_the_endpoint_with_the_least_pending_serves(tmp_path: Path) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response()

    async with agents(slow, answering(200)) as (busy, free), before(tmp_path, [busy.url, free.url]) as (_, session):
        held = asyncio.create_task(session.get("/agents/support/x"))
        await arrived.wait()
        for _ in range(4):
            assert (await session.get("/agents/support/x")).status == 200
        assert (len(busy.seen), len(free.seen)) == (1, 4)
        go_on.set()
        assert (await held).status == 200


@pytest.mark.parametrize("body", [b"q", b"q" * 100_000, b"q" * 1_000_000], ids=["small", "replayed", "too long"])
async def test_a_connection_that_was_never_made_costs_the_client_nothing_whatever_it_sends(
    body: bytes, tmp_path: Path
) -> None:
    async with agents(answering(200)) as (well,), before(tmp_path, [nowhere(), well.url]) as (gateway, session):
        for _ in range(2):
            async with session.post("/agents/support/x", data=body) as answer:
                assert answer.status == 200
        assert [seen.body for seen in well.seen] == [body, body]
        first, second = gateway.records()
        [failed, served] = first["attempts"]
        assert (failed["ended"], served["ended"]) == ("agent_unreachable", 200)
        assert served["endpoint"] == well.url.removeprefix("http://")
        assert [one["ended"] for one in second["attempts"]] == [200]  # the broken one is set aside
        assert [one["state"] for one in await endpoints(gateway)] == ["aside", "well"]


@pytest.mark.parametrize("status", [502, 503, 504, 529])
async def test_what_is_idempotent_is_sent_again_to_another_endpoint(status: int, tmp_path: Path) -> None:
    async with agents(answering(status), answering(200)) as (ill, well):
        async with before(tmp_path, [ill.url, well.url]) as (gateway, session):
            async with session.get("/agents/support/x") as answer:
                assert (answer.status, answer.headers["X-Aiogate-Attempts"]) == (200, "2")
            assert (len(ill.seen), len(well.seen)) == (1, 1)
            [record] = gateway.records()
            assert (record["outcome"], [one["ended"] for one in record["attempts"]]) == ("completed", [status, 200])


async def test_what_is_not_idempotent_is_sent_once(tmp_path: Path) -> None:
    async with agents(answering(503), answering(200)) as (ill, well):
        async with before(tmp_path, [ill.url, well.url]) as (_, session):
            async with session.post("/agents/support/x", data=b"q") as answer:
                assert (answer.status, answer.headers["X-Aiogate-Attempts"]) == (503, "1")
                assert await answer.text() == "503"
            assert (len(ill.seen), len(well.seen)) == (1, 0)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size, statuses", [(100, [200]), (200_000, [200]), (300_000, [503])])
async def test_where_the_config_says_so_a_body_is_sent_again_as_long_as_it_fits_the_buffer(
    size: int, statuses: list[int], chunked: bool, tmp_path: Path
) -> None:
    body = b"q" * size

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 50_000):
            yield body[start : start + 50_000]

    async with agents(answering(503), answering(200)) as (ill, well):
        async with before(tmp_path, [ill.url, well.url], retry={"unsafe": True}) as (gateway, session):
            async with session.post("/agents/support/x", data=pieces() if chunked else body) as answer:
                assert [answer.status] == statuses
            assert ill.seen[0].body == body
            assert [seen.body for seen in well.seen] == [body] * statuses.count(200)
            assert gateway.records()[0]["bytes_in"] == size


async def test_where_all_are_set_aside_the_least_bad_is_tried_rather_than_none(tmp_path: Path) -> None:
    async with before(tmp_path, [nowhere(), nowhere()]) as (gateway, session):
        for _ in range(3):
            async with session.get("/agents/support/x") as answer:
                assert (answer.status, answer.headers["X-Aiogate-Attempts"]) == (502, "2")
        assert [one["state"] for one in await endpoints(gateway)] == ["aside", "aside"]


async def test_retries_are_no_more_than_a_fifth_of_the_requests(tmp_path: Path) -> None:
    async with agents(answering(503)) as (ill,):
        async with before(tmp_path, [ill.url], retry={"attempts": 5}) as (_, session):
            for _ in range(50):
                assert (await session.get("/agents/support/x")).status == 503
        assert len(ill.seen) <= 60


async def test_a_plain_agent_says_nothing_of_attempts(tmp_path: Path) -> None:
    config = {"server": {"anonymous": True}, "agents": {"support": {"url": nowhere()}}}
    async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession(gateway.url) as session:
        async with session.get("/agents/support/x") as answer:
            assert answer.status == 502
            assert "X-Aiogate-Attempts" not in answer.headers
        assert "attempts" not in gateway.records()[0]


async def test_an_agent_that_asks_for_more_patience_than_there_is_is_not_asked_again(tmp_path: Path) -> None:
    async with agents(answering(503, **{"Retry-After": "60"})) as (ill,):
        async with before(tmp_path, [ill.url], retry={}, first_byte_seconds=5.0) as (_, session):
            async with session.get("/agents/support/x") as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
        assert len(ill.seen) == 1


async def test_retry_after_is_waited_for_where_it_fits_the_deadline(tmp_path: Path) -> None:
    asked = 0

    async def once(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=503, headers={"Retry-After": "1"}) if asked == 1 else web.Response()

    async with agents(once) as (agent,), before(tmp_path, [agent.url], retry={}) as (gateway, session):
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await session.get("/agents/support/x")).status == 200
        assert loop.time() - began >= 1.0
        assert [one["ended"] for one in gateway.records()[0]["attempts"]] == [503, 200]


async def test_what_is_known_of_an_endpoint_survives_a_reload_where_it_stays(tmp_path: Path) -> None:
    async with agents(answering(200), answering(200)) as (one, other):
        broken = nowhere()
        async with before(tmp_path, [broken, one.url]) as (gateway, session):
            assert (await session.get("/agents/support/x")).status == 200
            urls = [other.url, broken]
            gateway.configure({"server": {"anonymous": True}, "agents": {"support": {"urls": urls}}})
            async with session.post(f"{gateway.admin_url}/api/reload") as answer:
                assert answer.status == 200, await answer.text()
            assert [place["state"] for place in await endpoints(gateway)] == ["well", "aside"]


async def test_nothing_is_pending_once_all_have_ended(tmp_path: Path) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with agents(breaks) as (agent,), before(tmp_path, [agent.url], retry={}) as (gateway, session):
        async with session.get("/agents/support/x") as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        while gateway.gateway.house.open_exchanges:
            await asyncio.sleep(0)
        [place] = await endpoints(gateway)
        assert (place["pending"], place["failures"], place["state"]) == (0, 1, "aside")
        assert orjson.dumps(place)


async def until(gateway: RunningGateway, states: list[str]) -> None:
    """Wait until the endpoints are as they should be."""
    while [place["state"] for place in await endpoints(gateway)] != states:
        await asyncio.sleep(0)


async def test_an_endpoint_whose_probe_fails_gets_nothing_until_one_succeeds(tmp_path: Path) -> None:
    status = 503

    async def probed(request: web.Request) -> web.Response:
        return web.Response(status=status if request.path == "/base/up" else 200)

    health = {"path": "/up", "interval": "20ms"}
    async with agents(probed, answering(200)) as (ill, well):
        urls = [f"{ill.url}/base", f"{well.url}/base"]
        headers = {"Authorization": "Bearer x"}
        async with before(tmp_path, urls, health=health, headers=headers) as (gateway, session):
            await until(gateway, ["down", "well"])
            for _ in range(4):
                assert (await session.get("/agents/support/x")).status == 200
            assert {seen.target for seen in ill.seen} == {"/base/up"}
            assert {seen.headers["Authorization"] for seen in ill.seen} == {"Bearer x"}
            status = 204
            await until(gateway, ["well", "well"])
            for _ in range(2):
                assert (await session.get("/agents/support/x")).status == 200
            assert "/base/x" in {seen.target for seen in ill.seen}


async def test_a_probe_that_hangs_has_a_timeout_of_its_own(tmp_path: Path) -> None:
    async def hangs(request: web.Request) -> web.Response:
        if request.path == "/healthz":
            await asyncio.Event().wait()
        return web.Response()

    health = {"interval": "20ms", "timeout": "50ms"}
    async with agents(hangs) as (agent,), before(tmp_path, [agent.url], health=health) as (gateway, session):
        await until(gateway, ["down"])
        assert (await session.get("/agents/support/x")).status == 200  # the least bad, rather than none


async def test_a_probe_that_succeeds_ends_the_time_aside_of_one_that_could_not_be_reached(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with before(tmp_path, [url], health={"interval": "20ms"}) as (gateway, session):
        assert (await session.get("/agents/support/x")).status == 502
        runner = web.ServerRunner(web.Server(answering(200)))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await until(gateway, ["well"])
        await runner.cleanup()


async def test_probes_go_on_over_a_reload_and_end_with_the_gateway(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()
    async with agents(answering(200)) as (agent,):
        async with before(tmp_path, [agent.url], health={"interval": "20ms"}) as (gateway, session):
            urls = [agent.url]
            gateway.configure({"server": {"anonymous": True}, "agents": {"support": {"urls": urls}}})
            async with session.post(f"{gateway.admin_url}/api/reload") as answer:
                assert answer.status == 200, await answer.text()
            assert not gateway.gateway.house.upstream._checks._running
    while asyncio.all_tasks() != tasks:
        await asyncio.sleep(0)


async def test_a_websocket_goes_to_an_endpoint_that_is_there(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async with agents(echo) as (agent,), before(tmp_path, [nowhere(), agent.url]) as (gateway, session):
        async with session.ws_connect("/agents/support/x") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            assert [place["pending"] for place in await endpoints(gateway)] == [0, 1]
        while gateway.gateway.house.open_exchanges:
            await asyncio.sleep(0)
        assert [place["pending"] for place in await endpoints(gateway)] == [0, 0]
        assert [one["ended"] for one in gateway.records()[0]["attempts"]] == ["agent_unreachable", 101]


async def test_a_client_that_hangs_up_between_two_attempts_leaves_nothing_behind(tmp_path: Path) -> None:
    async with agents(answering(503, **{"Retry-After": "30"})) as (agent,):
        async with before(tmp_path, [agent.url], retry={}) as (gateway, session):
            calling = asyncio.create_task(session.get("/agents/support/x"))
            await until(gateway, ["aside"])  # the first attempt has failed
            calling.cancel()
            while not gateway.records():
                await asyncio.sleep(0)
            [record] = gateway.records()
            assert (record["outcome"], [one["ended"] for one in record["attempts"]]) == ("client_gone", [503])
            assert [place["pending"] for place in await endpoints(gateway)] == [0]
        assert len(agent.seen) == 1


async def test_a_body_that_turns_out_too_long_is_refused_and_not_sent_again(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"q" * 1000

    async with agents(answering(503)) as (agent,):
        async with before(tmp_path, [agent.url], retry={"unsafe": True}, max_body=1500) as (gateway, session):
            async with session.post("/agents/support/x", data=pieces()) as answer:
                assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")
            assert [place["failures"] for place in await endpoints(gateway)] == [0]
