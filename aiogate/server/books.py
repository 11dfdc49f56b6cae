"""Closes the books on an exchange that has ended: its record is appended, its grant settled, once each.

For the walk, which sees to it that this happens once. The record comes first: nothing is awaited before it, so neither
a client that leaves nor counters that fail can come between an end and its record.
"""

import asyncio
import logging
from typing import Final

from aiogate.claims import Grant
from aiogate.exchange import Exchange
from aiogate.journal.added import added
from aiogate.journal.record import written_down
from aiogate.server.claim import real_amounts
from aiogate.server.house import House
from aiogate.server.phases import with_phases

__all__ = ["close_books"]

_log: Final = logging.getLogger(__name__)


async def close_books(exchange: Exchange, house: House) -> None:
    """Record and settle; raises ``JournalError``, with the grant settled all the same."""
    house.metrics.ended(exchange)
    try:
        line, is_whole = written_down(exchange)
        house.journal.append(line, added(exchange) if is_whole else None)
        if not house.access_log.is_silent:
            house.access_log.write(with_phases(line, exchange))
        if house.events.on:
            house.events.ended(exchange, line)
    finally:
        if exchange.grant is not None:
            await _settle(exchange, house, exchange.grant)


async def _settle(exchange: Exchange, house: House, grant: Grant) -> None:
    """Give the counters what was really taken; where a client leaves meanwhile it goes on by itself: twice is once."""
    try:
        await house.state.settle(grant, real_amounts(exchange))
    except asyncio.CancelledError:
        house.tasks.spawn(_settle(exchange, house, grant))
        raise
    except Exception:  # noqa: BLE001 - the border to the counters: the record is written, and the answer may leave
        _log.exception("exchange %s is not settled; its grant expires by itself", exchange.id)
