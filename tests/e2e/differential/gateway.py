"""A client's two ways to one recording agent: straight, and through a gateway whose plugins are on the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
from yarl import URL

from aiogate.testing import running_gateway
from tests.configs import anonymous
from tests.e2e.differential.agent import RecordingAgent, recording_agent
from tests.e2e.differential.client import RecordingClient
from tests.e2e.differential.compare import compare_answers, compare_requests
from tests.e2e.differential.differences import CONFIGURED
from tests.e2e.differential.messages import Ends, Exchange
from tests.e2e.differential.wire import Message

__all__ = ["PREFIX", "Both", "Seen", "both_ways"]

PREFIX = b"/agents/echo"
_SECONDS = 10


@attrs.frozen
class Seen:
    """What an exchange looked like from both of its ends."""

    requests: list[Message]
    answer: Message | None


@attrs.define
class Both:
    """An agent, and a client's two ways to it."""

    agent: RecordingAgent
    straight: RecordingClient
    through: RecordingClient

    async def compare(self, exchange: Exchange) -> list[str]:
        """Make the exchange both ways; return what differs and may not."""
        try:
            async with asyncio.timeout(_SECONDS):
                straight = await self.make(exchange, self.straight)
                return [*_compared(exchange, straight, await self.make(exchange, self.through))]
        except TimeoutError:
            return [f"no end within {_SECONDS} s"]

    async def make(self, exchange: Exchange, client: RecordingClient) -> Seen:
        """Make the exchange one way."""
        self.agent.script = exchange.answer
        self.agent.seen = []
        answer = await client.call(exchange.request, keep=_may_be_kept(exchange, straight=client is self.straight))
        return Seen(self.agent.seen, answer)


def _may_be_kept(exchange: Exchange, *, straight: bool) -> bool:
    """Tell whether the next exchange may follow on the same connection."""
    if exchange.request.body.trailers:
        return False  # see test_a_trailer_of_one_request_is_no_header_of_the_next
    return not exchange.answer.early and (exchange.answer.ends is Ends.KEEPS or not straight)


def _compared(exchange: Exchange, straight: Seen, through: Seen) -> Iterator[str]:
    [asked] = straight.requests
    assert straight.answer is not None
    if len(through.requests) != 1:
        yield f"the agent was asked {len(through.requests)} times"
    else:
        yield from compare_requests(exchange, asked, through.requests[0])
    if through.answer is None:
        yield "no answer"
    else:
        yield from compare_answers(exchange, straight.answer, through.answer)


@asynccontextmanager
async def both_ways(path: Path) -> AsyncIterator[Both]:
    """Run an agent and, in front of it, a gateway that limits and reads usage, so that its plugins are on the way."""
    async with recording_agent() as agent:
        config: dict[str, Any] = anonymous(
            f"http://127.0.0.1:{agent.port}", rate_limit="1_000_000/minute", headers={"Authorization": CONFIGURED}
        )
        config["pipeline"] = {"plugins": ["limits", "cost"]}
        async with running_gateway(config, path) as gateway:
            port = URL(gateway.url).port
            assert port is not None
            both = Both(agent, RecordingClient(agent.port), RecordingClient(port, PREFIX))
            try:
                yield both
            finally:
                both.straight.close()
                both.through.close()
