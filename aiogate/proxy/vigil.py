"""What watches over a stream on its way to the client: that it does not look dead, and that somebody reads it.

For the relay. Both are looked at by the coarse timer of all connections, a few times in the time that they wait for:
no timer and no task of their own, and nothing for a chunk.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiogate.errors import refusal
from aiogate.exchange import Exchange
from aiogate.proxy.answer import Answer
from aiogate.proxy.terminal_event import between_events
from aiogate.proxy.upstream import Watch, Watched

__all__ = ["KEEPALIVE", "Keepalive", "SlowReader", "kept_alive"]

KEEPALIVE: Final = b": keepalive\n\n"
_LOOKS: Final = 4
"""How often somebody looks within the time that is waited for."""
_NEVER_SECONDS: Final = 10.0


@contextmanager
def kept_alive(exchange: Exchange, answer: Answer, seconds: float, watch: Watch) -> Iterator[None]:
    """Keep a stream of events from looking dead as long as the block runs."""
    keepalive = Keepalive(exchange, answer, seconds, asyncio.get_running_loop().time())
    watch.add(keepalive)
    try:
        yield
    finally:
        watch.discard(keepalive)


class Keepalive:
    """Sends a comment into a stream of events that has been silent for ``seconds``, between two events only.

    When it is noticed that something has passed since the last look, silence counts from that look on, so that none is
    longer than ``seconds``.
    """

    __slots__ = ("_answer", "_exchange", "_looked", "_passed", "_seconds", "_since", "waits_in")

    def __init__(self, exchange: Exchange, answer: Answer, seconds: float, now: float) -> None:
        self._exchange = exchange
        self._answer = answer
        self._seconds = seconds
        self._since = self._looked = now
        self._passed = 0
        self.waits_in: set[Watched] | None = None

    def check(self, now: float) -> float:
        """Send a comment if it is time; return when to look again."""
        exchange, answer = self._exchange, self._answer
        if exchange.outcome is not None or not answer.writable:
            return now + _NEVER_SECONDS
        step = self._seconds / _LOOKS
        if exchange.bytes_out != self._passed:
            self._passed = exchange.bytes_out
            self._since = self._looked
        self._looked = now
        if now - self._since > self._seconds - step and not answer.slow and between_events(answer.tail):
            answer.write(KEEPALIVE)
            exchange.bytes_out += len(KEEPALIVE)
            self._passed = exchange.bytes_out
            self._since = now
        return now + step


class SlowReader:
    """Ends the exchange of a client that reads nothing of what waits for it for ``seconds``."""

    __slots__ = ("_answer", "_exchange", "_seconds", "_since", "_waiting", "waits_in")

    def __init__(self, exchange: Exchange, answer: Answer, seconds: float, now: float) -> None:
        self._exchange = exchange
        self._answer = answer
        self._seconds = seconds
        self._since = now
        self._waiting = answer.waiting_bytes
        self.waits_in: set[Watched] | None = None

    def check(self, now: float) -> float:
        """End the exchange if it is time; return when to look again."""
        waiting = self._answer.waiting_bytes
        if waiting < self._waiting:
            self._waiting = waiting
            self._since = now
        elif now - self._since >= self._seconds:
            if self._exchange.outcome is None:
                self._exchange.cut(refusal("slow_reader", f"the client read nothing for {self._seconds:g} s"))
            else:
                self._answer.abort(patience_seconds=0.0)  # its record is written; only the last bytes are left
            return now + _NEVER_SECONDS
        return min(self._since + self._seconds, now + self._seconds / _LOOKS)
