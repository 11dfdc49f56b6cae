"""Reads on where the client has hung up, for what the agent says that it used: ``on_disconnect = "drain"``.

For the walk. The exchange's accounting is not the client's connection: it ends when the agent has ended, or
``drain_seconds`` later, or when the gateway stops.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

import attrs

from aiogate.agent import Agent
from aiogate.errors import Refused, UpstreamError
from aiogate.exchange import Exchange
from aiogate.hookspecs import Observer
from aiogate.proxy.answer import Answer
from aiogate.proxy.upstream import Head, Response
from aiogate.server.house import House

__all__ = ["Leftover"]

_log: Final = logging.getLogger(__name__)
Opened = tuple[Agent, Response, Head]


@attrs.define(eq=False)
class Leftover:
    """What an agent still has to say, should the client go.

    Args:
        exchange: that it belongs to.
        house: keeps what goes on without its client.
        answer: what has not reached the client is here.
        response: the agent's, once it has begun.
    """

    exchange: Exchange
    house: House
    answer: Answer
    response: Response | None = None
    remains: bool = False
    """Whether the client has gone and somebody is to read on."""
    _opening: asyncio.Task[Opened] | None = None

    async def opened(self, opening: Coroutine[Any, Any, Opened]) -> Opened:
        """Wait for the agent's answer, which goes on where the client does not."""
        task = self._opening = self.house.tasks.start(opening)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.client_left()
            raise

    def client_left(self, response: Response | None = None) -> None:
        """Note that the client has gone; where the exchange was cut, or has ended, nothing remains."""
        exchange, self.response = self.exchange, response
        self.remains = exchange.cut_by is None and exchange.outcome is None
        self.remains = self.remains and (response is None or not response.upgraded)
        if not self.remains:
            self._close()

    async def read_on(self, begin: Callable[[Head], None], observe: Callable[[], Observer | None]) -> None:
        """Show what is left to who looks on; return when it is all there or nobody waits for it any longer.

        ``begin`` is told of a head that comes only now, then ``observe`` returns who looks on.
        """
        exchange, house = self.exchange, self.house
        seconds = 0.0 if exchange.agent is None else exchange.agent.drain_seconds
        exchange.interrupt = self._close
        house.leftovers.add(exchange)
        try:
            if not house.cutting:
                async with asyncio.timeout(seconds):
                    await self._read(begin, observe)
        except (TimeoutError, UpstreamError, Refused, ConnectionError):
            return
        except Exception:  # noqa: BLE001 - a fault of ours; the record of what has come until now is written all the same
            _log.exception("exchange %s: what its client has left behind cannot be read on", exchange.id)
        finally:
            house.leftovers.discard(exchange)
            self._close()

    async def _read(self, begin: Callable[[Head], None], observe: Callable[[], Observer | None]) -> None:
        if self.response is None and self._opening is not None:
            await asyncio.wait({self._opening})  # that it is cancelled is not our own cancellation
            if self._opening.cancelled():
                return
            _, self.response, head = self._opening.result()
            begin(head)
        response, look = self.response, observe()
        if response is None or look is None:
            return
        if unsent := self.answer.unsent:
            look(unsent)
        while not response.complete and self.exchange.cut_by is None:
            await response.pour(look)
        if rest := response.take():
            look(rest)

    def _close(self) -> None:
        opening, response = self._opening, self.response
        if opening is not None and not opening.cancel() and not opening.cancelled() and opening.exception() is None:
            response = opening.result()[1]
        if response is not None:
            response.close()
