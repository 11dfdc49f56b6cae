"""The wire to an agent: what is written, with back-pressure, for how long is waited, and how all of it fails.

For the connection, which builds on it and knows HTTP; this does not.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from typing import Final, cast

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.reading import Piece, Reading
from aiogate.proxy.upstream.response import Response
from aiogate.proxy.upstream.watch import Watch, Watched

__all__ = ["UNREACHABLE", "Wire"]

UNREACHABLE: Final = "agent_unreachable"


class Wire(Reading):
    """A transport, and the one exchange that is on it.

    Args:
        loop: the loop that it lives on.
        watch: looks at its timeouts as long as it is open.
        piece: what it reads into, shared by all that live on the loop.
    """

    __slots__ = (
        "_agent",
        "_blocked_at",
        "_loop",
        "_paused",
        "_raw",
        "_read_at",
        "_response",
        "_sent_at",
        "_spoilt",
        "_started_at",
        "_transport",
        "_upload",
        "_watch",
        "_writable",
        "longest_gap",
        "lost",
        "sink",
        "waits_in",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, watch: Watch, piece: Piece | None) -> None:
        super().__init__(piece)
        self._loop = loop
        self._watch = watch
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._agent: Agent | None = None
        self._raw = self._spoilt = self._paused = False
        self._upload: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._started_at = self._read_at = self._blocked_at = 0.0
        self._sent_at: float | None = None
        self.longest_gap = 0.0
        """The longest silence of the response under way since its head, in seconds, between two reads."""
        self.sink: Callable[[bytes], None] | None = None
        """Who gets what the next read brings of the body; None: that has to be looked at first."""
        self.lost = False
        self.waits_in: set[Watched] | None = None
        """For the watch."""

    @property
    def heard_at(self) -> float:
        """When something came last, in the loop's time; of a connection that waits: when it was asked."""
        return self._read_at

    @property
    def usable(self) -> bool:
        """Whether a request may be written: the agent has not closed it, nothing unexpected has come."""
        return self._transport is not None and not self._spoilt and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to look at the timeouts."""
        self._transport = cast("asyncio.Transport", transport)
        self._watch.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Fail what is under way."""
        self._transport = None
        self.lost = True
        if self._response is not None and not self._response.complete:
            if self._response.arrived.done():
                self._fail("broke off its answer", "agent_broke_off")
            else:
                self._fail("closed the connection without an answer", UNREACHABLE)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)  # nothing is written any more, and often nobody waits
        if self._upload is not None:
            self._upload.cancel()
        self._watch.discard(self)

    def upload(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Send a body that streams behind the head; what it raises is raised to whoever waits for the response."""
        self._sent_at = None
        self._upload = self._loop.create_task(self._send_body(body, self._response, chunked=chunked))

    async def _send_body(self, body: AsyncIterator[bytes], response: Response | None, *, chunked: bool) -> None:
        try:
            async for chunk in body:
                if not self.usable or self._transport is None:
                    return
                self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._writable is not None:
                    await self._writable
            if chunked and self._transport is not None:
                self._transport.write(b"0\r\n\r\n")
        except Exception as error:  # noqa: BLE001 - the border to the client's body: what it raises goes to who waits
            if response is not None and not response.arrived.done():
                response.arrived.set_exception(error)
            else:
                self.abort()
            return
        self._sent_at = self._loop.time()

    def write(self, data: bytes) -> bool:
        """Write bytes behind a switch of protocols; tell whether more may follow at once."""
        if self._transport is not None:
            self._transport.write(data)
        return self._writable is None

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back once more may be written."""
        if self._writable is None:
            callback()
        else:
            self._writable.add_done_callback(lambda _: callback())

    def pause_writing(self) -> None:
        """Note that the agent is slower than the body that goes to it."""
        self._writable = self._loop.create_future()
        self._blocked_at = self._loop.time()

    def resume_writing(self) -> None:
        """Let the body go on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def pause(self) -> None:
        """Stop reading: the client is slower than the agent."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self._transport is not None and self._paused:
            self._paused = False
            self._read_at = self._loop.time()
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; what was under way fails."""
        self._spoilt = True
        self.sink = None
        if self._upload is not None:
            self._upload.cancel()
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> float:
        """Fail what has taken too long; return when something else may have, which has perhaps not begun yet."""
        agent, response = self._agent, self._response
        if agent is None:
            return now
        soonest = now + _shortest(agent)
        if response is None:
            return soonest
        for began, most_seconds, what, code in self._deadlines(agent, response):
            if began is None or most_seconds is None:
                continue
            if now - began >= most_seconds:
                self._fail(f"{what} {most_seconds:g} s", code)
                break
            soonest = min(soonest, began + most_seconds)
        return soonest

    def _deadlines(self, agent: Agent, response: Response) -> Iterator[tuple[float | None, float | None, str, str]]:
        """Yield what is waited for: since when, for how long at most, what is said of more, and its code."""
        if self._writable is not None:
            yield self._blocked_at, agent.write_seconds, "did not read the request for", "agent_write_timeout"
        elif not response.arrived.done():
            yield self._sent_at, agent.first_byte_seconds, "did not answer within", "agent_first_byte_timeout"
        elif not self._paused and not self._raw:
            yield self._read_at, agent.idle_seconds, "sent nothing for", "agent_idle_timeout"
        yield self._started_at, agent.total_seconds, "took more than", "agent_total_timeout"

    def _fail(self, what: str, code: str = "agent_protocol_error") -> None:
        response, self._response = self._response, None
        if response is not None:
            response.fail(self._error(code, what))
        self.abort()

    def _gone(self) -> UpstreamError:
        return self._error(UNREACHABLE, "closed the connection without an answer")

    def _error(self, code: str, what: str) -> UpstreamError:
        return UpstreamError(code, f"agent {self._agent.id if self._agent else ''!r} {what}")


@lru_cache(maxsize=1024)
def _shortest(agent: Agent) -> float:
    """Return the soonest that anything which begins now can have taken too long."""
    told = (agent.write_seconds, agent.first_byte_seconds, agent.idle_seconds, agent.total_seconds)
    return min(seconds for seconds in told if seconds is not None)
