"""The relay: an agent's response to the client, each chunk written when it arrives, then observed.

Nothing here parses, logs or calls a plugin between an arriving chunk and its write.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from multidict import CIMultiDict

from aiogate.errors import CutError, UpstreamError
from aiogate.exchange import Exchange
from aiogate.hookspecs import Observer
from aiogate.proxy.answer import TAIL_BYTES, Answer, Sieve, has_no_body
from aiogate.proxy.border import reach_border
from aiogate.proxy.fields import Fields
from aiogate.proxy.head import edited_fields, now
from aiogate.proxy.terminal_event import is_event_stream
from aiogate.proxy.upstream import Head, Response, Watch
from aiogate.proxy.vigil import SlowReader, kept_alive

__all__ = ["Conclude", "relay", "relay_body"]

_MOST_KEPT_BYTES: Final = 4096
"""The most of a chunk that is kept until the next one comes; of a longer one only its tail is."""

Conclude = Callable[[], Awaitable[None]]
"""Settles the exchange and appends its record; the last bytes of the answer leave after it."""


async def relay(  # noqa: PLR0913, PLR0917 - the two ends and what looks on
    response: Response,
    head: Head,
    exchange: Exchange,
    answer: Answer,
    own: str,
    observe: Observer | None,
    conclude: Conclude,
    watch: Watch,
    keepalive_seconds: float,
) -> None:
    """Pass the response on, whole when all of it is here already, chunk by chunk otherwise.

    Its head is made of the agent's own bytes unless a plugin has touched them.

    Args:
        response: the agent's.
        head: its head.
        exchange: what both belong to.
        answer: what goes to the client.
        own: the headers that aiogate adds.
        observe: what looks on.
        conclude: is called before the last bytes leave.
        watch: the timer of all that waits.
        keepalive_seconds: for how long a stream of events may be silent; 0: for ever.

    Raises ``UpstreamError`` when the agent breaks off, ``ConnectionError``
    when the client has gone, ``CutError`` when an observer has cut the exchange at its last bytes.
    """
    first = _head(head, exchange, answer, own)
    length_known = answer.length_known
    exchange.answered = exchange.clock.monotonic()
    if length_known and response.complete:
        body = response.take()
        exchange.bytes_out = len(body)
        if observe is not None and body:
            observe(body)
            _check(exchange, body)
        await conclude()
        answer.put(first + body)
        if answer.slow:
            await _catch_up(exchange, answer, watch)
        return
    answer.start(first)
    if keepalive_seconds and not answer.length_known and is_event_stream(exchange):
        with kept_alive(exchange, answer, keepalive_seconds, watch):
            await relay_body(response, exchange, answer, observe, conclude, watch)
    else:
        await relay_body(response, exchange, answer, observe, conclude, watch)


async def relay_body(  # noqa: PLR0913, PLR0917 - as above
    response: Response,
    exchange: Exchange,
    answer: Answer,
    observe: Observer | None,
    conclude: Conclude,
    watch: Watch,
) -> None:
    """Pass on the body behind a head that the client has; its last bytes leave when the record is written."""
    await _pour(response, exchange, answer, observe, watch)
    last = seen = response.take()
    if answer.sift is not None:
        last = answer.sift.feed(seen) + answer.sift.finish()
    exchange.bytes_out += len(last)
    if observe is not None and seen:
        observe(seen)
        _check(exchange, last)
    await conclude()
    answer.finish(last)
    await _catch_up(exchange, answer, watch)


async def _pour(response: Response, exchange: Exchange, answer: Answer, observe: Observer | None, watch: Watch) -> None:
    """Pass on everything but what comes with the end; no task wakes up for a chunk while the client keeps up."""
    sift = answer.sift
    sink: Callable[[bytes], None]
    if sift is None:
        sink = _Passage(response, exchange, answer, observe).pass_on
    else:  # who looks on sees what the agent has said, not what is left of it
        sink = _sifted(sift, _Passage(response, exchange, answer, None).pass_on, observe)
    try:
        while not response.complete:
            await response.pour(sink)
            await _catch_up(exchange, answer, watch)
    except asyncio.CancelledError:
        if exchange.cut_by is not None:
            await reach_border(response, exchange, answer, observe)
        raise


class _Passage:
    """The way of one body to its client."""

    __slots__ = ("_answer", "_chunked", "_exchange", "_least", "_observe", "_protocol", "_response", "_transport")

    def __init__(self, response: Response, exchange: Exchange, answer: Answer, observe: Observer | None) -> None:
        self._response = response
        self._exchange = exchange
        self._answer = answer
        self._observe = observe
        self._transport = answer.transport
        self._protocol = answer.protocol
        self._chunked = answer.chunked
        self._least = _MOST_KEPT_BYTES + 1
        """Of shorter chunks more has to be noted than that one was the last: all, until the body's opening is known."""

    def pass_on(self, chunk: bytes) -> None:
        """Write a chunk, then show it to who looks on."""
        transport, observe = self._transport, self._observe
        if transport is None or transport.is_closing():
            if observe is not None:
                self._answer.unsent += chunk
            self._response.hold()
            return
        size = len(chunk)
        transport.write(b"%x\r\n%b\r\n" % (size, chunk) if self._chunked else chunk)
        self._exchange.bytes_out += size
        if size > _MOST_KEPT_BYTES or size < self._least:
            self._note(chunk)
        else:
            self._answer.last = chunk
        if observe is not None:
            observe(chunk)
        if self._protocol.writing_paused:
            self._response.hold()

    def _note(self, chunk: bytes) -> None:
        answer = self._answer
        if len(chunk) > _MOST_KEPT_BYTES and answer.opening:
            answer.last = chunk[-TAIL_BYTES:]
        else:
            answer.note(chunk)
        self._least = TAIL_BYTES


def _sifted(sift: Sieve, pass_on: Callable[[bytes], None], observe: Observer | None) -> Callable[[bytes], None]:
    """Return what passes on what is left of each chunk, and shows all of it to who looks on."""

    def sink(chunk: bytes) -> None:
        if left := sift.feed(chunk):
            pass_on(left)
        if observe is not None:
            observe(chunk)

    return sink


async def _catch_up(exchange: Exchange, answer: Answer, watch: Watch) -> None:
    """Wait until the client has read enough, as long as it reads at all."""
    agent = exchange.agent
    if not answer.slow or agent is None or not agent.slow_reader_seconds:
        await answer.drain()
        return
    reader = SlowReader(exchange, answer, agent.slow_reader_seconds, asyncio.get_running_loop().time())
    watch.add(reader)
    try:
        await answer.drain()
    finally:
        watch.discard(reader)


def _head(head: Head, exchange: Exchange, answer: Answer, own: str) -> bytes:
    edited = exchange.edited_headers
    length_known = head.length is not None if edited is None else "Content-Length" in edited
    length_known = length_known or has_no_body(exchange.method, head.status)
    fields, dated = (head.fields, head.dated) if edited is None else _edited(edited)
    if not dated:
        own = f"{own}\r\nDate: {now()}"
    return answer.head(head.status, head.reason, fields, own, length_known=length_known)


def _check(exchange: Exchange, last: bytes) -> None:
    """Keep the last bytes back where an observer has cut the exchange on seeing them."""
    if exchange.cut_by is not None:
        exchange.bytes_out -= len(last)
        raise CutError


def _edited(headers: CIMultiDict[str]) -> tuple[Fields, bool]:
    """Return headers that a plugin may have edited as bytes, and whether there is a ``Date``."""
    try:
        return edited_fields(headers), "Date" in headers
    except ValueError as error:
        code = "agent_protocol_error"
        raise UpstreamError(code, "the response's headers hold control characters") from error
