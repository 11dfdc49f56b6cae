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
from aiogate.server.fallback import Relief
from aiogate.server.sessions import begun_at

__all__ = ["Request", "Trip"]

_RETRY_AFTER: Final = b"retry-after"
_MOST_DIGITS: Final = 9
Ended = tuple[Response, Head] | UpstreamError
"""How an attempt has ended."""


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
        relief: finds who serves in the place of an agent that has failed; None: nobody.
        sleep: waits for so many seconds.
    """

    exchange: Exchange
    upstream: Upstream
    request: Request
    relief: Relief | None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _place: Place | None = None
    _began: float = 0.0

    @property
    def place(self) -> Place | None:
        """Where the request was sent last."""
        return self._place

    async def run(self, agent: Agent) -> tuple[Agent, Response, Head]:
        """Return who has served, and its response; a bad one where nothing else is left. Raises ``UpstreamError``."""
        while True:
            endpoints = self._endpoints(agent)
            ended = await self._call(endpoints)
            try:
                another = await self._relieved(endpoints, ended)
            except BaseException:
                self._discard(ended)
                raise
            if another is None:
                if isinstance(ended, UpstreamError):
                    raise ended
                return agent, *ended
            self._discard(ended)
            agent = another

    async def _relieved(self, endpoints: Endpoints, ended: Ended) -> Agent | None:
        """Return who serves in the place of an agent, if it has failed and anybody may."""
        if self.relief is None or not self._mends(endpoints, ended):
            return None
        return await self.relief.of(endpoints.agent)

    def _endpoints(self, agent: Agent) -> Endpoints:
        return self.upstream.to(agent).endpoints or Endpoints.of(agent, self.upstream.random)

    def _mends(self, endpoints: Endpoints, ended: Ended) -> bool:
        """Tell whether sending the request once more is safe and may help."""
        return self.request.can_be_repeated and endpoints.mends(_reason(ended), self.exchange.method)

    def _discard(self, ended: Ended) -> None:
        self.end()
        if not isinstance(ended, UpstreamError):
            ended[0].close()

    async def _call(self, endpoints: Endpoints) -> Ended:
        """Call one agent as often as it is worth it; return how the last attempt has ended."""
        clock, tried = self.exchange.clock.monotonic, list[int]()
        began = clock()
        endpoints.budget.requested(began)
        place = begun_at(self.exchange, endpoints)
        if place is None:
            place = endpoints.choose(began)
        while True:
            tried.append(place)
            ended = await self._attempt(endpoints, place, clock() - began if len(tried) > 1 else 0.0)
            again = None
            if self._mends(endpoints, ended):
                again = endpoints.again(tried, now=clock(), began=began)
            if again is None:
                if isinstance(ended, UpstreamError):
                    self.end()
                return ended
            self._discard(ended)
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

    async def _attempt(self, endpoints: Endpoints, place: int, elapsed: float) -> Ended:
        """Call one endpoint and write down what has come of it; ``elapsed`` of the deadline, 0: the first attempt."""
        exchange, request, clock = self.exchange, self.request, self.exchange.clock.monotonic
        way = self.upstream.to(endpoints.agent).at(place, _hurried(endpoints.agent, elapsed) if elapsed else None)
        head = way.envelope.head(exchange, request.framing, request.host)
        here = self._place = endpoints.places[place]
        here.pending += 1
        self._began = clock()
        if exchange.forwarded is None:
            exchange.forwarded = self._began
        ended: Ended
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
            by_total = seconds + elapsed < endpoints.agent.first_byte_seconds
            code = "agent_total_timeout" if by_total else "agent_first_byte_timeout"
            raise UpstreamError(code, f"agent {endpoints.agent.id!r} did not answer within its time") from error

    def _note(self, agent: Agent, place: Place, ended: Ended, now: float) -> None:
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


def _reason(ended: Ended) -> str:
    return reason_of(ended if isinstance(ended, UpstreamError) else ended[1].status)


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
