"""Lets the event that is under way end when its stream is cut, so that an error can be said behind it.

For the relay, once per stream that is cut: an agent that sends without a pause is nearly always amid an event.
"""

import re
from typing import Final

from aiogate.errors import UpstreamError
from aiogate.exchange import Exchange
from aiogate.hookspecs import Observer
from aiogate.proxy.answer import Answer
from aiogate.proxy.deadline import Deadline
from aiogate.proxy.terminal_event import at_border, ends_of
from aiogate.proxy.upstream import Response

__all__ = ["reach_border"]

_PATIENCE_SECONDS: Final = 0.3
_MOST_BYTES: Final = 65536


async def reach_border(response: Response, exchange: Exchange, answer: Answer, observe: Observer | None) -> None:
    """Pass on the rest of the event, if it comes at once; nothing of what follows it."""
    end = ends_of(exchange)
    if end is None or answer.length_known or at_border(exchange, answer) or not answer.writable:
        return
    rest = _Rest(response, exchange, answer, observe, end)
    try:
        with Deadline(_PATIENCE_SECONDS):
            while not response.complete and not rest.ended:
                await response.pour(rest.pass_on)
    except (TimeoutError, UpstreamError):
        return
    if not rest.ended:
        rest.pass_on(response.take())


class _Rest:
    """The rest of one event."""

    def __init__(
        self, response: Response, exchange: Exchange, answer: Answer, observe: Observer | None, end: re.Pattern[bytes]
    ) -> None:
        self._response = response
        self._exchange = exchange
        self._answer = answer
        self._observe = observe
        self._end = end
        self._left = _MOST_BYTES
        self.ended = False

    def pass_on(self, chunk: bytes) -> None:
        """Write what belongs to the event."""
        answer = self._answer
        if self.ended:
            return
        tail = len(answer.tail)
        found = next((one for one in self._end.finditer(answer.tail + chunk) if one.end() > tail), None)
        piece = chunk if found is None else chunk[: found.end() - tail]
        left = piece if answer.sift is None else answer.sift.feed(piece)
        if left and answer.writable:
            answer.write(left)
            answer.note(left)
            self._exchange.bytes_out += len(left)
            if self._observe is not None:
                self._observe(piece)
        self._left -= len(piece)
        if found is not None or self._left < 0 or not answer.writable:
            self.ended = True
            self._response.hold()
