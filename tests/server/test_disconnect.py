"""A client hangs up, wherever it is: the exchange is settled and recorded once, and nobody escapes payment."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web

from aiogate import Claim, Clock, Counted, Exchange, hookimpl
from aiogate.builtin.cost import Cost
from aiogate.claims import Grant
from aiogate.state.memory import MemoryState
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect

SECONDS = 20
TEXT = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"four"}}]}\n\n'
USAGE = b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"
EXACT = {"source": "measured", "model": "m", "input_tokens": 5, "output_tokens": 7}
PRICE = {"model": "m", "input_usd_per_million": 1.0, "output_usd_per_million": 2.0}
REQUEST = (
    b"POST /agents/echo/v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 16\r\n\r\n"
    b'{"stream": true}'
)


class Counts:
    """Takes one of one place, and writes down every end that it hears of."""

    ends: ClassVar[list[str]] = []

    @hookimpl
    def claims(self) -> Iterable[Claim]:
        return [Claim("places", "places", Counted.LEASE, 1_000, 60.0)]

    @hookimpl
    def post_response(self, exchange: Exchange) -> None:
        self.ends.append(str(exchange.outcome))


class Agent:
    """Says the beginning, and the rest when it is told to; ``left`` counts how often it was left alone before that."""

    def __init__(self, *said: bytes, before_head: bool = False, breaks: bool = False) -> None:
        self.said = said
        self.breaks = breaks
        self.before_head = before_head
        self.go_on = asyncio.Event()
        self.reached = asyncio.Event()
        self.left = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            first, *rest = self.said
            if self.before_head:
                self.reached.set()
                await self.go_on.wait()
            await response.prepare(request)
            await response.write(first)
            self.reached.set()
            await self.go_on.wait()
            for piece in rest:
                await response.write(piece)
            if self.breaks:
                assert request.transport is not None
                request.transport.close()
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise
        return response


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counts, "ends", [])


@asynccontextmanager
async def before(agent: Agent, path: Path, **facts: Any) -> AsyncIterator[RunningGateway]:
    async with fake_agent(agent) as fake, asyncio.timeout(SECONDS):
        config: dict[str, Any] = {
            **anonymous(fake.url, **facts),
            "pipeline": {"plugins": ["cost", "counts"]},
            "plugins": {"cost": {"published_prices": False, "price": [PRICE]}},
        }
        async with running_gateway(config, path, {"cost": Cost, "counts": Counts}) as gateway:
            yield gateway


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def hang_up(gateway: RunningGateway, agent: Agent, after_bytes: int = 0, *, reached: bool = True) -> None:
    """Send a request, read so many bytes of its answer, and leave."""
    reader, writer = await connect(gateway.url)
    writer.write(REQUEST)
    if reached:
        await agent.reached.wait()
    if after_bytes:
        await reader.readexactly(after_bytes)
    writer.transport.abort()


async def ended(gateway: RunningGateway, count: int = 1) -> dict[str, Any]:
    """Return the last record, when nothing is under way and nothing is held any more."""
    house = gateway.gateway.house
    await until(lambda: len(gateway.records()) >= count and not house.open_exchanges and not house.leftovers)
    await house.tasks.join()
    assert len(gateway.records()) == count
    assert len(Counts.ends) == count
    assert house.state._open == {}  # type: ignore[attr-defined]
    record: dict[str, Any] = gateway.records()[-1]
    return record


async def test_by_default_the_agent_is_left_and_what_came_is_charged(tmp_path: Path) -> None:
    agent = Agent(TEXT, USAGE, DONE)
    async with before(agent, tmp_path) as gateway:
        async with asyncio.timeout(5):
            await hang_up(gateway, agent, 200)
            async with asyncio.timeout(1):
                await until(lambda: agent.left)
        record = await ended(gateway)
    assert record["outcome"] == "client_gone"
    assert record["usage"] == {"source": "estimated", "model": "m", "input_tokens": 4, "output_tokens": 1}
    assert record["cost_nanousd"] == 4 * 1_000 + 1 * 2_000


async def test_draining_reads_on_and_charges_exactly(tmp_path: Path) -> None:
    agent = Agent(TEXT, TEXT, USAGE, DONE)
    async with before(agent, tmp_path, on_disconnect="drain") as gateway:
        await hang_up(gateway, agent, 200)
        house = gateway.gateway.house
        await until(lambda: house.leftovers and not house.open_exchanges)
        assert gateway.records() == []
        agent.go_on.set()
        record = await ended(gateway)
    assert (agent.left, record["outcome"], record["code"]) == (0, "client_gone", None)
    assert (record["usage"], record["cost_nanousd"]) == (EXACT, 5 * 1_000 + 7 * 2_000)


async def test_draining_waits_for_a_head_too(tmp_path: Path) -> None:
    agent = Agent(USAGE, before_head=True)
    async with before(agent, tmp_path, on_disconnect="drain") as gateway:
        await hang_up(gateway, agent)
        await until(lambda: gateway.gateway.house.leftovers)
        agent.go_on.set()
        record = await ended(gateway)
    assert (record["outcome"], record["status"], record["usage"]) == ("client_gone", 200, EXACT)


@pytest.mark.parametrize("before_head", [False, True])
async def test_draining_ends_after_its_time(before_head: bool, tmp_path: Path) -> None:
    agent = Agent(TEXT, USAGE, before_head=before_head)
    async with before(agent, tmp_path, on_disconnect="drain", drain_seconds=0.2) as gateway:
        await hang_up(gateway, agent, 0 if before_head else 200)
        record = await ended(gateway)
        await until(lambda: agent.left)
    assert record["outcome"] == "client_gone"
    assert record["usage"]["source"] == ("unknown" if before_head else "estimated")


@pytest.mark.parametrize("before_head", [False, True])
async def test_a_gateway_that_stops_does_not_wait_for_it(before_head: bool, tmp_path: Path) -> None:
    agent = Agent(TEXT, USAGE, before_head=before_head)
    async with before(agent, tmp_path, on_disconnect="drain", drain_seconds=600.0) as gateway:
        await hang_up(gateway, agent, 0 if before_head else 200)
        await until(lambda: gateway.gateway.house.leftovers)
        async with asyncio.timeout(3):
            await gateway.gateway.stop(grace_seconds=30.0)
        [record] = gateway.records()
    assert (record["outcome"], Counts.ends) == ("client_gone", ["client_gone"])


async def test_an_agent_that_breaks_off_meanwhile_ends_it(tmp_path: Path) -> None:
    agent = Agent(TEXT, breaks=True)
    async with before(agent, tmp_path, on_disconnect="drain", drain_seconds=600.0) as gateway:
        await hang_up(gateway, agent, 200)
        await until(lambda: gateway.gateway.house.leftovers)
        agent.go_on.set()
        record = await ended(gateway)
    assert (record["outcome"], record["usage"]["source"]) == ("client_gone", "estimated")


@pytest.mark.parametrize("way", ["cancel", "drain"])
async def test_a_hang_up_at_any_byte_settles_once(way: str, tmp_path: Path) -> None:
    """The agent does not wait: its end, the client's and the record race."""
    agent = Agent(TEXT, USAGE, DONE)
    agent.go_on.set()
    async with before(agent, tmp_path, on_disconnect=way) as gateway:
        reader, writer = await connect(gateway.url)
        writer.write(REQUEST)
        whole = len(await reader.read())
        writer.transport.abort()
        await ended(gateway)
        count = 1
        for position in range(whole + 1):
            await hang_up(gateway, agent, position, reached=False)
            count += 1
        house = gateway.gateway.house
        await until(lambda: not house.open_exchanges and not house.leftovers)
        await house.tasks.join()
        records = gateway.records()
        assert house.state._open == {}  # type: ignore[attr-defined]
    # a connection that was reset before its request was read never was an exchange
    assert len({record["request_id"] for record in records}) == len(records) == len(Counts.ends)
    assert count - 2 <= len(records) <= count
    for record in records[1:]:
        assert record["outcome"] in {"client_gone", "completed"}
        if way == "drain" and record["usage"]["source"] != "unknown":
            assert record["usage"] == EXACT


class Slow(MemoryState):
    """Counters that are far away: the first try to settle begins and comes to nothing."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.begun = asyncio.Event()

    async def settle(self, grant: Grant, actual: Mapping[str, int] | None = None) -> None:
        if not self.begun.is_set():
            self.begun.set()
            await asyncio.Event().wait()
        await super().settle(grant, actual)


async def test_a_client_that_leaves_while_its_grant_is_settled_keeps_neither_from_happening(tmp_path: Path) -> None:
    agent = Agent(TEXT, USAGE, DONE)
    agent.go_on.set()
    async with before(agent, tmp_path) as gateway:
        house = gateway.gateway.house
        state = Slow(house.clock)
        house.state = state
        reader, writer = await connect(gateway.url)
        writer.write(REQUEST)
        await state.begun.wait()
        writer.transport.abort()
        record = await ended(gateway)
        del reader
    assert (record["outcome"], record["usage"]) == ("completed", EXACT)
