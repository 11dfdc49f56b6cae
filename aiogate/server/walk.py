"""One exchange's walk through the house: pipeline, claims, agent, relay. One object per exchange.

How it ends, whatever happens, is in ``ending.py``.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final

import attrs
from multidict import CIMultiDict, istr

from aiogate.agent import Agent
from aiogate.errors import CutError, JournalError, PluginError, Refusal, Refused, UpstreamError, refusal
from aiogate.exchange import Outcome, Reply
from aiogate.proxy.agent_card import CardError
from aiogate.proxy.answer import Answer
from aiogate.proxy.relay import relay, relay_body
from aiogate.proxy.replay import Replay
from aiogate.proxy.terminal_event import is_event_stream
from aiogate.proxy.upstream import Destination, Head, Response
from aiogate.proxy.vigil import Keepalive
from aiogate.proxy.websocket import HANDSHAKE, check_handshake, switched, tunnel, wants_websocket
from aiogate.server.admit import admit
from aiogate.server.catalogue import with_cards
from aiogate.server.early import begin, broken_promise, wants_events
from aiogate.server.ending import Ending
from aiogate.server.fallback import Relief
from aiogate.server.outgoing import CHUNKED, Body, at_once, injected, request_body
from aiogate.server.own_headers import make_way, own_headers
from aiogate.server.read_on import Leftover
from aiogate.server.sessions import bound
from aiogate.server.spoken import Speech, relocate, whole_card
from aiogate.server.trip import Request, Trip

__all__ = ["Walk"]

_log: Final = logging.getLogger(__name__)
_UPGRADE: Final = istr("Upgrade")
_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400
_DRAIN: Final = "drain"


@attrs.define(eq=False)
class Walk(Ending):
    """Takes one exchange from its request to its record."""

    async def run(self) -> Answer:
        """Serve the exchange and return its answer, written; only a cancellation comes out of it."""
        exchange, house = self.exchange, self.house
        exchange.interrupt = self._interrupt
        house.open_exchanges[exchange.id] = self
        try:
            await self._serve()
        except asyncio.CancelledError:
            if not self._is_cut():
                if self.answer.started and exchange.outcome is None:
                    self.answer.abort()
                house.tasks.spawn(self._depart())
                raise
            await self._cut_short()
        except CutError:
            await self._cut_short()
        except JournalError:
            await self._without_record()
        except ConnectionError:
            house.tasks.spawn(self._depart())  # the abort cancels this very task
            self.answer.abort()
            return self.answer
        except Exception:  # noqa: BLE001 - the border of one exchange: a fault of ours is one refused exchange, logged
            _log.exception("exchange %s failed", exchange.id)
            await self._give_up()
        finally:
            house.open_exchanges.pop(exchange.id, None)
            house.crowd.leave(exchange)
            if house.stopping or house.outgoing:
                house.left(exchange.id, exchange.generation)
        pipeline = self.generation.pipeline
        if pipeline.stages.post_response:
            # in a task of its own: a client that leaves now must not keep a plugin from hearing of the end
            house.tasks.spawn(pipeline.post_response(exchange))
        return self.answer

    async def _serve(self) -> None:  # noqa: C901 - every way that an exchange may go
        exchange, generation, house = self.exchange, self.generation, self.house
        if not house.journal.admits:
            await self._refuse(refusal("journal_unavailable", "records cannot be written; nothing was sent"))
            return
        if self.refused is not None:
            await self._refuse(self.refused)
            return
        try:
            ended = generation.pipeline.asked(exchange)
            if ended is not None and not isinstance(ended, (Refusal, Reply)):
                ended = await ended
            admitted = admit(exchange, ended, generation, house.state, house.crowd, house.halts)
            if not isinstance(admitted, (Agent, Refusal, Reply)):
                admitted = await admitted
        except Refused as refused:
            admitted = refused.refusal
        except PluginError as error:
            _log.error("exchange %s: %s", exchange.id, error, exc_info=error.__cause__)
            failed = refusal("plugin_failed", f"plugin {error.plugin!r} failed; nothing was sent to an agent")
            await self._refuse(failed, Outcome.PLUGIN_FAILED)
            return
        if house.halts.in_force and isinstance(admitted, Agent):
            admitted = house.halts.why_not(exchange, admitted.id) or admitted
        if isinstance(admitted, Agent):
            await self._forward(admitted)
        elif isinstance(admitted, Reply):
            if exchange.unavailable is not None:
                admitted = await with_cards(admitted, exchange, house.cards, house.upstream, self._public)
            await self._reply(admitted)
        else:
            await self._refuse(admitted)

    async def _forward(self, agent: Agent) -> None:  # noqa: C901 - likewise
        left = self._left = Leftover(self.exchange, self.house, self.answer) if agent.on_disconnect == _DRAIN else None
        try:
            opening = self._opening(agent)
            if opening is not None:
                response, head = await opening
            else:
                agent, response, head = await self._opened(agent)
        except Refused as refused:
            await self._refuse(refused.refusal)
            return
        except UpstreamError as error:
            error.__traceback__ = None  # the response keeps the error, whose frames keep the response: a circle
            await self._refuse(*self._why(error))
            return
        self._response = response
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
            self.exchange.longest_gap = response.longest_gap or None
            self._response = None
            if left is None or not left.remains:
                response.close()
                if self._trip is not None:
                    self._trip.end()

    def _opening(self, agent: Agent) -> Awaitable[tuple[Response, Head]] | None:
        """Return what sends a request that is all here already to the one place that it can go to; None: not so."""
        if self.house.events.on:
            self.house.events.started(self.exchange, agent.id)
        if self._left is not None or agent.protocol or agent.inject_usage or agent.early_headers:
            return None
        if _UPGRADE in self.inbound.headers:
            return None
        destination = self.house.upstream.to(agent)
        if destination.endpoints is not None or (ready := at_once(self.exchange, self.body)) is None:
            return None
        return self._sent(destination, *ready)

    def _sent(
        self, destination: Destination, body: Body, framing: str, *, upgrade: bool = False
    ) -> Awaitable[tuple[Response, Head]]:
        """Return what sends the request; it is to be awaited at once."""
        exchange, house = self.exchange, self.house
        request = destination.envelope.head(exchange, framing, self.inbound.host or "")
        exchange.forwarded = house.clock.monotonic()
        return destination.open(exchange.method, request, body, chunked=framing is CHUNKED, upgrade=upgrade)

    def _opened(self, agent: Agent) -> Awaitable[tuple[Agent, Response, Head]]:
        opening = self._open(agent)
        return opening if self._left is None else self._left.opened(opening)

    async def _open(self, agent: Agent) -> tuple[Agent, Response, Head]:
        """Send the request; return who has served, and its response when its head is there."""
        destination = self.house.upstream.to(agent)
        upgrade = _UPGRADE in self.inbound.headers and wants_websocket(self.inbound)
        body, framing = self._handshake() if upgrade else await self._body(agent)
        if destination.endpoints is not None:
            self._trip = self._attempts(agent, body, framing, upgrade=upgrade)
            return await self._trip.run(agent)
        response, head = await self._sent(destination, body, framing, upgrade=upgrade)
        return agent, response, head

    async def _body(self, agent: Agent) -> tuple[Body, str]:
        body, framing = await request_body(self.exchange, self.body, agent)
        if agent.protocol is not None:
            speech = Speech(self.exchange, agent, self.body, self.answer, self._public)
            body, framing = await speech.heard(body, framing)
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
        host = self.inbound.host or ""
        request = Request(whole, replay, framing, host, framing is CHUNKED, upgrade)
        # a client that has its head already was told in it who serves
        relief = (
            None if self.answer.started else Relief(self.exchange, self.generation, self.house.state, self.house.halts)
        )
        return Trip(self.exchange, self.house.upstream, request, relief)

    def _handshake(self) -> tuple[None, str]:
        self.answer.keep_alive = False  # what the client sends next is for the agent, or for nobody
        check_handshake(self.inbound)
        return None, HANDSHAKE

    def _relay(self, agent: Agent, response: Response, head: Head) -> Awaitable[None]:
        """Return what passes the response on; it is to be awaited at once."""
        exchange = self.exchange
        self._note(head)
        if agent.protocol == "mcp" and len(agent.urls) > 1 and self._trip is not None and self._trip.place is not None:
            bound(exchange, self.answer, self._trip.place.endpoint)
        if _FIRST_REDIRECT <= head.status < _FIRST_ERROR:
            relocate(exchange, agent, self._public)
        own = own_headers(exchange, agent.id)
        if head.media_type[:17].lower() == "text/event-stream":
            own += "\r\nX-Accel-Buffering: no"
        if head.collides or exchange.cors or exchange.edited_headers is not None:
            make_way(exchange.response_headers, own)
        if self.answer.sift is not None:
            self._sift(head)
        if self.answer.started:
            return self._relay_rest(agent, response, head)
        if exchange.call is not None:
            return self._relay_unless_card(agent, response, head, own)
        return self._relay_whole(agent, response, head, own)

    async def _relay_rest(self, agent: Agent, response: Response, head: Head) -> None:
        """Pass on the body behind a head that the client has had before the agent has sent one."""
        exchange, house = self.exchange, self.house
        broken = broken_promise(exchange, agent, head)
        if broken is not None:
            await self._end_early(*broken)
            return
        exchange.answered = house.clock.monotonic()
        await relay_body(response, exchange, self.answer, self._observe, self._conclude, house.upstream.watch)

    async def _relay_unless_card(self, agent: Agent, response: Response, head: Head, own: str) -> None:
        if not await self._card(agent, response, own):
            await self._relay_whole(agent, response, head, own)

    def _relay_whole(self, agent: Agent, response: Response, head: Head, own: str) -> Awaitable[None]:
        exchange, house, answer = self.exchange, self.house, self.answer
        if response.upgraded:
            answer.start(switched(exchange.response_headers, own))
            exchange.answered = house.clock.monotonic()
            return tunnel(self.inbound, response, exchange, answer, self._conclude)
        keepalive, watch = self._keepalive_seconds(agent), house.upstream.watch
        return relay(response, head, exchange, answer, own, self._observe, self._conclude, watch, keepalive)

    @property
    def _public(self) -> str:
        return self.house.public(self.generation.settings.server)

    async def _card(self, agent: Agent, response: Response, own: str) -> bool:
        """Answer with the agent's card through the gateway; tell whether the answer was one."""
        exchange = self.exchange
        try:
            card = await whole_card(exchange, agent, response, self._public)
        except CardError as error:
            response.close()
            await self._refuse(refusal("agent_card_unusable", str(error)))
            return True
        if card is None:
            return False
        exchange.status, body = card
        headers = exchange.response_headers
        make_way(headers, own)
        exchange.bytes_out, exchange.answered = len(body), self.house.clock.monotonic()
        answer = self.answer.whole(exchange.status, headers, own, body)
        if self._observe is not None and body:
            self._observe(body)
        await self._conclude()
        await self.answer.send(answer)
        return True

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
