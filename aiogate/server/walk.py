"""One exchange's walk through the house: pipeline, claims, agent, relay, record. One object per exchange.

Whatever happens, ``_conclude`` takes effect exactly once: it settles, appends the record, and only then the last bytes
of the answer leave.
"""

import asyncio
import logging
from typing import Final

import attrs
from multidict import CIMultiDict, istr

from aiogate.agent import Agent
from aiogate.errors import (
    CutError,
    JournalError,
    PluginError,
    Refusal,
    Refused,
    UpstreamError,
    problem_body,
    problem_headers,
    refusal,
)
from aiogate.exchange import Exchange, Outcome, Reply
from aiogate.hookspecs import Observer
from aiogate.proxy.answer import Answer
from aiogate.proxy.body import ClientBody
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.relay import relay, relay_body
from aiogate.proxy.replay import Replay
from aiogate.proxy.terminal_event import is_event_stream, last_words
from aiogate.proxy.upstream import Head, Response
from aiogate.proxy.vigil import Keepalive
from aiogate.proxy.websocket import HANDSHAKE, check_handshake, switched, tunnel, wants_websocket
from aiogate.server.admit import admit
from aiogate.server.books import close_books
from aiogate.server.early import begin, broken_promise, wants_events
from aiogate.server.fallback import Relief
from aiogate.server.generation import Generation
from aiogate.server.house import House
from aiogate.server.outgoing import CHUNKED, Body, injected, request_body
from aiogate.server.own_headers import make_way, own_headers
from aiogate.server.read_on import Leftover
from aiogate.server.trip import Request, Trip

__all__ = ["Walk"]

_log: Final = logging.getLogger(__name__)
_UPGRADE: Final = istr("Upgrade")
_HOST: Final = istr("Host")
_DRAIN: Final = "drain"
_CUT_SECONDS: Final = 0.4
"""How long a client that does not read may keep the connection of an exchange that was cut."""


@attrs.define(eq=False)
class Walk:
    """Takes one exchange from its request to its record."""

    exchange: Exchange
    inbound: Inbound
    body: ClientBody
    generation: Generation
    house: House
    answer: Answer
    refused: Refusal | None = None
    """What is wrong with the request itself, found before the walk began."""
    _observe: Observer | None = None
    _interrupted: bool = False
    _keepalive: Keepalive | None = None
    _left: Leftover | None = None
    _trip: Trip | None = None

    async def run(self) -> Answer:
        """Serve the exchange and return its answer, written; only a cancellation comes out of it."""
        self.exchange.interrupt = self._interrupt
        try:
            await self._serve()
        except asyncio.CancelledError:
            if self._is_cut():
                await self._cut_short()
                return self._ended()
            if self.answer.started and self.exchange.outcome is None:
                self.answer.abort()
            self.house.tasks.spawn(self._depart())
            raise
        except CutError:
            await self._cut_short()
        except JournalError:
            await self._without_record()
        except ConnectionError:
            self.house.tasks.spawn(self._depart())  # the abort cancels this very task
            self.answer.abort()
            return self.answer
        except Exception:  # noqa: BLE001 - the border of one exchange: a fault of ours is one refused exchange, logged
            _log.exception("exchange %s failed", self.exchange.id)
            await self._give_up()
        return self._ended()

    def _ended(self) -> Answer:
        if self.generation.pipeline.stages.post_response:
            # in a task of its own: a client that leaves now must not keep a plugin from hearing of the end
            self.house.tasks.spawn(self.generation.pipeline.post_response(self.exchange))
        return self.answer

    async def _serve(self) -> None:
        exchange = self.exchange
        if not self.house.journal.admits:
            await self._refuse(refusal("journal_unavailable", "records cannot be written; nothing was sent"))
            return
        if self.refused is not None:
            await self._refuse(self.refused)
            return
        try:
            admitted = await admit(exchange, self.generation, self.house.state, self.house.crowd)
        except Refused as refused:
            admitted = refused.refusal
        except PluginError as error:
            _log.error("exchange %s: %s", exchange.id, error, exc_info=error.__cause__)
            failed = refusal("plugin_failed", f"plugin {error.plugin!r} failed; nothing was sent to an agent")
            await self._refuse(failed, Outcome.PLUGIN_FAILED)
            return
        if isinstance(admitted, Agent):
            await self._forward(admitted)
        elif isinstance(admitted, Reply):
            await self._reply(admitted)
        else:
            await self._refuse(admitted)

    async def _forward(self, agent: Agent) -> None:
        left = self._left = Leftover(self.exchange, self.house, self.answer) if agent.on_disconnect == _DRAIN else None
        opening = self._open(agent)
        try:
            agent, response, head = await (opening if left is None else left.opened(opening))
        except Refused as refused:
            await self._refuse(refused.refusal)
            return
        except UpstreamError as error:
            error.__traceback__ = None  # the response keeps the error, whose frames keep the response: a circle
            await self._refuse(*self._why(error))
            return
        try:
            await self._relay(agent, response, head)
        except UpstreamError as error:
            error.__traceback__ = None  # likewise
            if not self.answer.writable:
                raise ConnectionResetError from error
            if self._trip is not None:
                self._trip.broke_off()
            await self._cut(agent, error)
        except (asyncio.CancelledError, ConnectionError):
            if left is not None:
                left.client_left(response)
            raise
        finally:
            if left is None or not left.remains:
                response.close()
                if self._trip is not None:
                    self._trip.end()

    async def _open(self, agent: Agent) -> tuple[Agent, Response, Head]:
        """Send the request; return who has served, and its response when its head is there."""
        exchange, destination = self.exchange, self.house.upstream.to(agent)
        upgrade = _UPGRADE in self.inbound.headers and wants_websocket(self.inbound)
        body, framing = self._handshake() if upgrade else await self._body(agent)
        if destination.endpoints is not None:
            self._trip = self._attempts(agent, body, framing, upgrade=upgrade)
            return await self._trip.run(agent)
        request = destination.envelope.head(exchange, framing, self.inbound.headers.get(_HOST, ""))
        exchange.forwarded = self.house.clock.monotonic()
        chunked = framing is CHUNKED
        response, head = await destination.open(exchange.method, request, body, chunked=chunked, upgrade=upgrade)
        return agent, response, head

    async def _body(self, agent: Agent) -> tuple[Body, str]:
        body, framing = await request_body(self.exchange, self.body, agent)
        if agent.inject_usage and isinstance(body, bytes):
            body, framing = injected(self.exchange, self.answer, body, framing)
        if agent.early_headers and wants_events(self.exchange, body):
            self._begin(agent)
        return body, framing

    def _begin(self, agent: Agent) -> None:
        """Send the client a head before the agent has sent one, and keep the stream alive from now on."""
        exchange, watch = self.exchange, self.house.upstream.watch
        begin(exchange, self.answer, own_headers(exchange, agent.id))
        if seconds := self._keepalive_seconds(agent):
            self._keepalive = Keepalive(exchange, self.answer, seconds, asyncio.get_running_loop().time())
            watch.add(self._keepalive)

    def _keepalive_seconds(self, agent: Agent) -> float:
        if agent.keepalive_seconds is not None:
            return agent.keepalive_seconds
        return self.generation.settings.server.stream_keepalive_seconds

    def _attempts(self, agent: Agent, body: Body, framing: str, *, upgrade: bool) -> Trip:
        """Return the attempts that the request may take."""
        whole = body if body is None or isinstance(body, bytes) else None
        streams = whole is not body
        replay = Replay(self.body, agent.replay_buffer, self.exchange.content_length) if streams else None
        host = self.inbound.headers.get(_HOST, "")
        request = Request(whole, replay, framing, host, framing is CHUNKED, upgrade)
        # a client that has its head already was told in it who serves
        relief = None if self.answer.started else Relief(self.exchange, self.generation, self.house.state)
        return Trip(self.exchange, self.house.upstream, request, relief)

    def _handshake(self) -> tuple[None, str]:
        self.answer.keep_alive = False  # what the client sends next is for the agent, or for nobody
        check_handshake(self.inbound)
        return None, HANDSHAKE

    async def _relay(self, agent: Agent, response: Response, head: Head) -> None:
        exchange = self.exchange
        self._note(head)
        own = own_headers(exchange, agent.id)
        if head.media_type[:17].lower() == "text/event-stream":
            own += "\r\nX-Accel-Buffering: no"
        if head.collides or exchange.edited_headers is not None:
            make_way(exchange.response_headers, own)
        if self.answer.sift is not None:
            self._sift(head)
        if self.answer.started:
            broken = broken_promise(exchange, agent, head)
            if broken is None:
                exchange.answered = self.house.clock.monotonic()
                watch = self.house.upstream.watch
                await relay_body(response, exchange, self.answer, self._observe, self._conclude, watch)
            else:
                await self._end_early(*broken)
            return
        if not response.upgraded:
            keepalive = self._keepalive_seconds(agent)
            watch = self.house.upstream.watch
            await relay(response, head, exchange, self.answer, own, self._observe, self._conclude, watch, keepalive)
            return
        self.answer.start(switched(exchange.response_headers, own))
        exchange.answered = self.house.clock.monotonic()
        await tunnel(self.inbound, response, exchange, self.answer, self._conclude)

    def _note(self, head: Head) -> None:
        """Write down the agent's head, and ask who looks on."""
        exchange = self.exchange
        exchange.first_byte = self.house.clock.monotonic()
        exchange.status = head.status
        exchange.response_fields = head.fields
        exchange.content_type = head.media_type
        exchange.content_encoding = head.encoding
        self._observe = self.generation.pipeline.observers(exchange)

    def _sift(self, head: Head) -> None:
        """Leave the answer as it is unless it is the stream that was asked for its usage."""
        if not is_event_stream(self.exchange):
            self.answer.sift = None
        elif head.length is not None:
            del self.exchange.response_headers["Content-Length"]

    async def _reply(self, reply: Reply) -> None:
        self.exchange.status = reply.status
        headers = CIMultiDict([("Content-Type", reply.content_type), *reply.headers])
        await self._whole(Outcome.COMPLETED, headers, reply.body)

    async def _refuse(self, refused: Refusal, outcome: Outcome = Outcome.REFUSED) -> None:
        exchange = self.exchange
        if self.answer.started:
            await self._end_early(refused, outcome)
            return
        exchange.refusal = refused
        exchange.status = refused.status
        if not self.inbound.content.is_eof():
            self.answer.keep_alive = False
        headers = CIMultiDict(problem_headers(refused))
        if refused.code == "unauthenticated":
            headers.setdefault("WWW-Authenticate", 'Bearer realm="aiogate"')
        await self._whole(outcome, headers, problem_body(refused, exchange.id, exchange.full_path))

    async def _whole(self, outcome: Outcome, headers: CIMultiDict[str], body: bytes) -> None:
        """Answer with something of our own."""
        exchange = self.exchange
        own = own_headers(self.exchange)
        make_way(headers, own)
        answer = self.answer.whole(exchange.status, headers, own, body)
        exchange.bytes_out = len(body)
        exchange.answered = self.house.clock.monotonic()
        await self._conclude(outcome)
        await self.answer.send(answer)

    async def _conclude(self, outcome: Outcome = Outcome.COMPLETED) -> None:
        """Append the exchange's record and settle it, the first time; raises ``JournalError``.

        Nothing is awaited before the record is appended, so nobody can come between an end and its record.
        """
        exchange, house = self.exchange, self.house
        if exchange.outcome is not None:
            return
        exchange.outcome = outcome
        exchange.interrupt = None
        if self._keepalive is not None:
            house.upstream.watch.discard(self._keepalive)
        exchange.bytes_in += self.body.received
        if self._observe is not None:
            self._observe(b"")
        exchange.ended = house.clock.monotonic()
        await close_books(exchange, house)

    async def _cut(self, agent: Agent, error: UpstreamError) -> None:
        """End an answer that the agent broke off."""
        _log.warning("exchange %s: agent %r broke off: %s", self.exchange.id, agent.id, error.code)
        await self._refuse(*self._why(error))

    def _why(self, error: UpstreamError) -> tuple[Refusal, Outcome]:
        """Return what has failed: the agent, unless it was the client's own body."""
        refused = self.body.refused
        if refused is None:
            return refusal(error.code, error.detail), Outcome.UPSTREAM_FAILED
        return refused.refusal, Outcome.CUT if self.answer.started else Outcome.REFUSED

    async def _end_early(self, why: Refusal, outcome: Outcome, **patience: float) -> None:
        """End an answer whose head the client has: a terminal event in its dialect, then an aborted connection."""
        exchange = self.exchange
        exchange.refusal = why
        last = last_words(exchange, self.answer, why)
        exchange.bytes_out += len(last)
        try:
            await self._conclude(outcome)
            self.answer.abort(last, **patience)
        finally:
            self.answer.abort()

    def _interrupt(self) -> None:
        """Wake the walk up, for a cut; where it is the walk itself that asks for it as soon as it waits again."""
        task = self.inbound.task
        if asyncio.current_task() is task:
            asyncio.get_running_loop().call_soon(self._interrupt)
        elif self.exchange.outcome is None:
            self._interrupted = True
            task.cancel()

    def _is_cut(self) -> bool:
        """Tell whether the task was cancelled by a cut, and by nobody else."""
        return self._interrupted and self.inbound.task.uncancel() == 0

    async def _cut_short(self) -> None:
        """End an exchange that was cut."""
        why = self.exchange.cut_by
        assert why is not None  # noqa: S101 - nothing else interrupts
        try:
            if self.answer.started:
                await self._end_early(why, Outcome.CUT, patience_seconds=_CUT_SECONDS)
            else:
                await self._refuse(why, Outcome.CUT)
        except ConnectionError:
            self.answer.abort()
        except JournalError:
            await self._without_record()

    async def _depart(self) -> None:
        """The client has gone, or the gateway cuts what the drain left over."""
        try:
            if self._left is not None and self._left.remains:
                await self._left.read_on(self._note, lambda: self._observe)
                if self._trip is not None:
                    self._trip.end()
                is_cut = False  # whatever ended it then: its client had gone before
            else:
                is_cut = self.house.cutting or self.exchange.cut_by is not None
                self.exchange.refusal = self.exchange.refusal or self.exchange.cut_by
            await self._conclude(Outcome.CUT if is_cut else Outcome.CLIENT_GONE)
        except JournalError as error:
            _log.error("exchange %s has no record: %s", self.exchange.id, error)
        await self.generation.pipeline.post_response(self.exchange)

    async def _without_record(self) -> None:
        """The record could not be written: the client must not take its answer for one that is on the books."""
        if self.answer.started or not self.answer.writable:
            self.answer.abort()
            return
        refused = refusal("journal_unavailable", "the record of this exchange could not be written")
        self.exchange.status = refused.status
        headers = CIMultiDict(problem_headers(refused))
        body = problem_body(refused, self.exchange.id, self.exchange.full_path)
        try:
            await self.answer.send(self.answer.whole(refused.status, headers, own_headers(self.exchange), body))
        except ConnectionError:
            self.answer.abort()

    async def _give_up(self) -> None:
        try:
            if self.answer.started or self.exchange.outcome is not None:
                await self._conclude(Outcome.UPSTREAM_FAILED)
                self.answer.abort()
            else:
                await self._refuse(refusal("internal_error", "the gateway failed; the log names the request id"))
        except (ConnectionError, JournalError):
            self.answer.abort()
