"""One exchange's walk through the house: pipeline, claims, agent, relay, record. One object per exchange.

Whatever happens, ``_conclude`` takes effect exactly once: it settles, appends the record, and only then the last bytes
of the answer leave.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

import attrs
from aiohttp.web import BaseRequest
from multidict import CIMultiDict

from aiogate.errors import (
    JournalError,
    PluginError,
    Refusal,
    Refused,
    UpstreamError,
    problem_body,
    problem_headers,
    refusal,
)
from aiogate.exchange import Agent, Exchange, Outcome, Reply
from aiogate.hookspecs import Observer
from aiogate.journal.record import encode
from aiogate.proxy.answer import Answer
from aiogate.proxy.body import ClientBody
from aiogate.proxy.headers import clean_response, put_context
from aiogate.proxy.relay import relay
from aiogate.proxy.upstream import Response
from aiogate.proxy.websocket import tunnel, wants_websocket
from aiogate.server.admit import admit
from aiogate.server.generation import Generation
from aiogate.server.house import House
from aiogate.server.quotas import put_quotas

__all__ = ["Walk"]

_log: Final = logging.getLogger(__name__)
_WHOLE_BODY: Final = 65536
"""A request body up to this length is read before the agent is bothered, and goes to it in one piece."""


@attrs.define(eq=False)
class Walk:
    """Takes one exchange from its request to its record."""

    exchange: Exchange
    request: BaseRequest
    body: ClientBody
    generation: Generation
    house: House
    answer: Answer
    refused: Refused | None = None
    """What is wrong with the request itself, found before the walk began."""
    _observers: list[Observer] = attrs.field(factory=list)

    async def run(self) -> Answer:
        """Serve the exchange and return its answer, written; only a cancellation comes out of it."""
        try:
            await self._serve()
        except asyncio.CancelledError:
            if self.answer.started and self.exchange.outcome is None:
                self.answer.abort()
            self.house.tasks.spawn(self._depart())
            raise
        except JournalError:
            await self._without_record()
        except ConnectionError:
            self.house.tasks.spawn(self._depart())  # the abort cancels this very task
            self.answer.abort()
            return self.answer
        except Exception:  # noqa: BLE001 - the border of one exchange: a fault of ours is one refused exchange, logged
            _log.exception("exchange %s failed", self.exchange.id)
            await self._give_up()
        if self.generation.pipeline.stages.post_response:
            # in a task of its own: a client that leaves now must not keep a plugin from hearing of the end
            self.house.tasks.spawn(self.generation.pipeline.post_response(self.exchange))
        return self.answer

    async def _serve(self) -> None:
        exchange = self.exchange
        if not self.house.journal.healthy:
            await self._refuse(refusal("journal_unavailable", "records cannot be written; nothing was sent"))
            return
        if self.refused is not None:
            await self._refuse(self.refused.refusal)
            return
        try:
            admitted = await admit(exchange, self.generation, self.house.state)
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
        try:
            if wants_websocket(self.request):
                await self._tunnel(agent)
                return
            response = await self._send(agent)
        except Refused as refused:
            await self._refuse(refused.refusal)
            return
        except UpstreamError as error:
            if self.body.refused is not None:
                await self._refuse(self.body.refused.refusal)
            else:
                await self._refuse(refusal(error.code, error.detail), Outcome.UPSTREAM_FAILED)
            return
        try:
            await self._relay(response)
        except UpstreamError as error:
            if self._client_gone():
                raise ConnectionResetError from error
            await self._cut(agent, error)
        finally:
            response.close()

    async def _send(self, agent: Agent) -> Response:
        exchange = self.exchange
        body = await self._request_body()
        put_context(exchange, agent, host=self.request.headers.get("Host", ""))
        target = f"{exchange.path}?{exchange.query}" if exchange.query else exchange.path
        exchange.forwarded = self.house.clock.monotonic()
        return await self.house.upstream.send(agent, exchange.method, target, exchange.request_headers, body)

    async def _request_body(self) -> bytes | AsyncIterator[bytes] | None:
        """Return what goes to the agent: bytes where there are few of them or a plugin has them, a stream otherwise."""
        exchange = self.exchange
        length = exchange.content_length
        if exchange.body is not None:
            return exchange.body
        if length == 0:
            return None
        if length is not None and length <= _WHOLE_BODY:
            return await self.body.read(length)
        if length is not None:
            exchange.request_headers["Content-Length"] = str(length)
        return self.body.stream()

    async def _relay(self, response: Response) -> None:
        exchange = self.exchange
        exchange.first_byte = self.house.clock.monotonic()
        exchange.status = response.status
        headers = exchange.response_headers = response.headers
        clean_response(headers)
        if headers.get("Content-Type", "").startswith("text/event-stream"):
            headers["X-Accel-Buffering"] = "no"
        self._put_own_headers(headers)
        self._observers = self.generation.pipeline.observers(exchange)
        await relay(response, exchange, self.answer, self._observers, self._completed)

    async def _tunnel(self, agent: Agent) -> None:
        exchange = self.exchange
        put_context(exchange, agent, host=self.request.headers.get("Host", ""))
        exchange.forwarded = self.house.clock.monotonic()
        self._put_own_headers(exchange.response_headers)
        self.answer.keep_alive = False
        await tunnel(self.request, exchange, agent, self.house.sockets, self.body.max_bytes, self._conclude)

    def _put_own_headers(self, headers: CIMultiDict[str]) -> None:
        headers["X-Request-Id"] = self.exchange.id
        put_quotas(headers, self.exchange.quotas)

    async def _reply(self, reply: Reply) -> None:
        self.exchange.status = reply.status
        headers = CIMultiDict([("Content-Type", reply.content_type), *reply.headers])
        await self._whole(Outcome.COMPLETED, headers, reply.body)

    async def _refuse(self, refused: Refusal, outcome: Outcome = Outcome.REFUSED) -> None:
        exchange = self.exchange
        exchange.refusal = refused
        exchange.status = refused.status
        if not self.request.content.is_eof():
            self.answer.keep_alive = False
        headers = CIMultiDict(problem_headers(refused))
        if refused.code == "unauthenticated":
            headers.setdefault("WWW-Authenticate", 'Bearer realm="aiogate"')
        await self._whole(outcome, headers, problem_body(refused, exchange.id, exchange.full_path))

    async def _whole(self, outcome: Outcome, headers: CIMultiDict[str], body: bytes) -> None:
        """Answer with something of our own."""
        exchange = self.exchange
        self._put_own_headers(headers)
        exchange.bytes_out = len(body)
        exchange.answered = self.house.clock.monotonic()
        await self._conclude(outcome)
        await self.answer.whole(exchange.status, headers, body)

    async def _completed(self) -> None:
        await self._conclude(Outcome.COMPLETED)

    async def _conclude(self, outcome: Outcome) -> None:
        """Settle the exchange and append its record, the first time; raises ``JournalError``."""
        exchange = self.exchange
        if exchange.outcome is not None:
            return
        exchange.outcome = outcome
        for observe in self._observers:
            observe(b"")
        exchange.bytes_in += self.body.received
        exchange.ended = self.house.clock.monotonic()
        if exchange.grant is not None:
            await self.house.state.settle(exchange.grant)
        self.house.metrics.ended(exchange)
        line = encode(exchange)
        self.house.journal.append(line)
        self.house.access_log.write(line)

    async def _cut(self, agent: Agent, error: Exception) -> None:
        """End an answer that the agent broke off: a 502 where nothing has left yet, an aborted connection otherwise."""
        _log.warning("exchange %s: agent %r broke off: %s", self.exchange.id, agent.id, type(error).__name__)
        if not self.answer.started:
            detail = f"agent {agent.id!r} broke off its answer"
            await self._refuse(refusal("agent_protocol_error", detail), Outcome.UPSTREAM_FAILED)
            return
        try:
            await self._conclude(Outcome.UPSTREAM_FAILED)
        finally:
            self.answer.abort()

    async def _depart(self) -> None:
        """The client has gone, or the gateway cuts what the drain left over."""
        try:
            await self._conclude(Outcome.CUT if self.house.cutting else Outcome.CLIENT_GONE)
        except JournalError as error:
            _log.error("exchange %s has no record: %s", self.exchange.id, error)
        await self.generation.pipeline.post_response(self.exchange)

    async def _without_record(self) -> None:
        """The record could not be written: the client must not take its answer for one that is on the books."""
        if self.answer.started:
            self.answer.abort()
            return
        refused = refusal("journal_unavailable", "the record of this exchange could not be written")
        self.exchange.status = refused.status
        headers = CIMultiDict(problem_headers(refused))
        await self.answer.whole(
            refused.status, headers, problem_body(refused, self.exchange.id, self.exchange.full_path)
        )

    async def _give_up(self) -> None:
        try:
            if self.answer.started or self.exchange.outcome is not None:
                await self._conclude(Outcome.UPSTREAM_FAILED)
                self.answer.abort()
            else:
                await self._refuse(refusal("internal_error", "the gateway failed; the log names the request id"))
        except (ConnectionError, JournalError):
            self.answer.abort()

    def _client_gone(self) -> bool:
        transport = self.request.transport
        return transport is None or transport.is_closing()
