"""How an exchange ends: answered, refused, cut, left by its client, broken off by its agent, without a record.

For the walk, which builds on it. Whatever happens, ``_conclude`` takes effect exactly once: it settles, appends the
record, and only then the last bytes of the answer leave.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final

import attrs
from multidict import CIMultiDict, istr

from aiogate.agent import Agent
from aiogate.errors import JournalError, Refusal, UpstreamError, problem_body, problem_headers, refusal
from aiogate.exchange import Exchange, Outcome
from aiogate.hookspecs import Observer
from aiogate.proxy.answer import Answer
from aiogate.proxy.body import ClientBody
from aiogate.proxy.failed_calls import with_failures
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.terminal_event import last_words
from aiogate.proxy.upstream import Head, Response
from aiogate.proxy.vigil import Keepalive
from aiogate.server.books import close_books
from aiogate.server.generation import Generation
from aiogate.server.house import House
from aiogate.server.own_headers import make_way, own_headers
from aiogate.server.read_on import Leftover
from aiogate.server.trip import Trip

__all__ = ["Ending"]

_log: Final = logging.getLogger(__name__)
_ANTHROPIC_VERSION: Final = istr("anthropic-version")
_CUT_SECONDS: Final = 0.4
"""How long a client that does not read may keep the connection of an exchange that was cut."""


@attrs.define(eq=False)
class Ending:
    """What a walk needs for its end, and every way to it."""

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
    _response: Response | None = None
    """The agent's, as long as it is passed on."""

    @property
    def heard_at(self) -> float | None:
        """When the agent whose answer is passed on was last heard of, in the loop's time; None: none is under way."""
        response = self._response
        return None if response is None or response.complete else response.flow.heard_at

    def _note(self, head: Head) -> None:
        """Write down the agent's head, and ask who looks on."""
        exchange = self.exchange
        exchange.first_byte = self.house.clock.monotonic()
        exchange.status = head.status
        exchange.response_fields = head.fields
        exchange.content_type = head.media_type
        exchange.content_encoding = head.encoding
        self._observe = self.generation.pipeline.observers(exchange)
        if exchange.call is not None:
            self._observe = with_failures(exchange, self._observe)
        if self.house.events.on:
            self.house.events.first_byte(exchange)

    async def _refuse(self, refused: Refusal, outcome: Outcome = Outcome.REFUSED) -> None:
        exchange = self.exchange
        if self.answer.started:
            await self._end_early(refused, outcome)
            return
        exchange.refusal = refused
        exchange.status = refused.status
        if not self.inbound.content.is_eof():
            self.answer.keep_alive = False
        headers, body = self._problem(refused)
        if refused.code == "unauthenticated":
            headers.setdefault("WWW-Authenticate", 'Bearer realm="aiogate"')
        await self._whole(outcome, headers, body)

    def _problem(self, refused: Refusal) -> tuple[CIMultiDict[str], bytes]:
        """Return headers and body of a refusal, as the client's family of SDKs understands it best."""
        exchange, headers = self.exchange, CIMultiDict(problem_headers(refused))
        for_anthropic = _ANTHROPIC_VERSION in exchange.request_headers
        if for_anthropic:
            headers["Content-Type"], headers["Request-Id"] = "application/json", exchange.id
        return headers, problem_body(refused, exchange.id, exchange.full_path, for_anthropic=for_anthropic)

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

    def _conclude(self, outcome: Outcome = Outcome.COMPLETED) -> Awaitable[None]:
        """Append the exchange's record and settle it, the first time; raises ``JournalError``.

        What is returned is to be awaited at once. Nothing is waited for before the record is appended, so nobody can
        come between an end and its record.
        """
        exchange, house = self.exchange, self.house
        if exchange.outcome is not None:
            return _nothing()
        exchange.outcome = outcome
        exchange.interrupt = None
        if self._keepalive is not None:
            house.upstream.watch.discard(self._keepalive)
        exchange.bytes_in += self.body.received
        if self._observe is not None:
            self._observe(b"")
        if self._response is not None:
            exchange.longest_gap = self._response.longest_gap or None
        exchange.ended = house.clock.monotonic()
        return close_books(exchange, house)

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
        headers, body = self._problem(refused)
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


async def _nothing() -> None:
    """Be awaited."""
