"""The attempts that one request takes: over the endpoints of its agent, again where that is safe, over its fallback.

For agents that are resilient (``Agent.is_resilient``); every other one is called by the walk itself. Ends with the
response that goes to the client, or with the error of the last attempt. Nothing has left for the client before.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.exchange import Attempt, Exchange
from aiogate.proxy.deadline import Deadline
from aiogate.proxy.replay import Replay
from aiogate.proxy.upstream import Destination, Head, Response, Upstream
from aiogate.proxy.upstream.endpoints import BROKEN, Endpoints, reason_of
from aiogate.proxy.upstream.place import Place

__all__ = ["Request", "Trip"]

_RETRY_AFTER: Final = b"retry-after"
_MOST_DIGITS: Final = 9


@attrs.frozen
class Request:
    """What is sent, however often.

    Args:
        whole: the body, where it is not streamed.
        replay: the body, where it is.
        framing: the header lines that go with it.
        host: what the client called the gateway.
    """

    whole: bytes | None
    replay: Replay | None
    framing: str
    host: str
    chunked: bool
    upgrade: bool

    @property
    def can_be_repeated(self) -> bool:
        """Whether all that has left can leave again."""
        return self.replay is None or not self.replay.is_spoilt

    def body(self) -> bytes | AsyncIterator[bytes] | None:
        """Return the body from its beginning."""
        return self.whole if self.replay is None else self.replay.stream()


@attrs.define(eq=False)
class Trip:
    """One request on its way to a response.

    Args:
        exchange: its ``attempts`` are written down.
        upstream: the way to all agents.
        request: what is sent.
        sleep: waits for so many seconds.
    """

    exchange: Exchange
    upstream: Upstream
    request: Request
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _place: Place | None = None
    _began: float = 0.0

    async def run(self, agent: Agent) -> tuple[Response, Head]:
        """Return the response of an agent; a bad one where no other attempt is worth it. Raises ``UpstreamError``."""
        destination, clock = self.upstream.to(agent), self.exchange.clock.monotonic
        endpoints = destination.endpoints or Endpoints.of(agent, self.upstream.random)
        began, tried = clock(), list[int]()
        endpoints.budget.requested(began)
        place = endpoints.choose(began)
        while True:
            tried.append(place)
            ended = await self._attempt(endpoints, destination, place, clock() - began if len(tried) > 1 else 0.0)
            now = clock()
            reason = reason_of(ended if isinstance(ended, UpstreamError) else ended[1].status)
            again = None
            if self.request.can_be_repeated:
                again = endpoints.again(reason, self.exchange.method, tried, now=now, began=began)
            if again is None:
                if isinstance(ended, UpstreamError):
                    self.end()
                    raise ended
                return ended
            self.end()
            if not isinstance(ended, UpstreamError):
                ended[0].close()
            place, seconds = again
            await self.sleep(seconds)

    def end(self) -> None:
        """Leave the endpoint that was called last."""
        if self._place is not None:
            self._place.pending -= 1
            self._place = None

    def broke_off(self) -> None:
        """Note that the endpoint has broken off the response after its head."""
        if self._place is not None:
            self._place.failed(self.exchange.clock.monotonic(), self._began)

    async def _attempt(
        self, endpoints: Endpoints, destination: Destination, place: int, elapsed: float
    ) -> tuple[Response, Head] | UpstreamError:
        """Call one endpoint and write down what has come of it; ``elapsed`` of the deadline, 0: the first attempt."""
        exchange, request, clock = self.exchange, self.request, self.exchange.clock.monotonic
        way = destination.at(place, _hurried(endpoints.agent, elapsed) if elapsed else None)
        head = way.envelope.head(exchange, request.framing, request.host)
        here = self._place = endpoints.places[place]
        here.pending += 1
        self._began = clock()
        if exchange.forwarded is None:
            exchange.forwarded = self._began
        ended: tuple[Response, Head] | UpstreamError
        try:
            ended = await self._send(endpoints, way, head, elapsed)
        except UpstreamError as error:
            ended = error
        except BaseException:
            self.end()
            raise
        self._note(endpoints.agent, here, ended, clock())
        return ended

    async def _send(self, endpoints: Endpoints, way: Destination, head: bytes, elapsed: float) -> tuple[Response, Head]:
        request = self.request
        sent = way.open(self.exchange.method, head, request.body(), chunked=request.chunked, upgrade=request.upgrade)
        if not elapsed:
            return await sent
        seconds = endpoints.deadline_seconds - elapsed
        try:
            with Deadline(seconds):
                return await sent
        except TimeoutError as error:
            code = "agent_timeout"
            raise UpstreamError(code, f"agent {endpoints.agent.id!r} did not answer within its time") from error

    def _note(self, agent: Agent, place: Place, ended: tuple[Response, Head] | UpstreamError, now: float) -> None:
        status = code = None
        asked = 0.0
        if isinstance(ended, UpstreamError):
            code = ended.code
            if code != "agent_unavailable":  # busy is not broken
                place.failed(now, self._began, reached=ended.sent)
        else:
            status = ended[1].status
            if status in BROKEN or status == 429:  # noqa: PLR2004 - RFC 6585
                asked = _asked_seconds(ended[1], self.exchange.clock.wall())
            if status in BROKEN:
                place.failed(now, self._began, asked)
            else:
                place.succeeded(self._began)
        self.exchange.attempts += (
            Attempt(
                agent=agent,
                endpoint=place.endpoint.name,
                began=self._began,
                seconds=now - self._began,
                status=status,
                code=code,
                retry_after_seconds=asked,
            ),
        )


def _hurried(agent: Agent, elapsed: float) -> Agent:
    """Return the agent with the time that is left."""
    if agent.total_seconds is None:
        return agent
    return attrs.evolve(agent, total_seconds=agent.total_seconds - elapsed)


def _asked_seconds(head: Head, wall: float) -> float:
    """Return for how long ``Retry-After`` asks (RFC 9110 section 10.2.3: seconds or a date); 0: it does not."""
    text = next((value for name, value in head.fields if name.lower() == _RETRY_AFTER), b"").decode("latin-1").strip()
    if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, TypeError, OverflowError, IndexError):  # whatever an agent can write there
        return 0.0
