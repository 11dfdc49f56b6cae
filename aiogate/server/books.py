"""Closes the books on an exchange that has ended: its grant is settled, its record appended, once each.

For the walk, which sees to it that this happens once.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from aiogate.claims import Grant
from aiogate.errors import StateError
from aiogate.exchange import Exchange
from aiogate.journal.record import encode
from aiogate.server.claim import real_amounts
from aiogate.server.house import House

__all__ = ["close_books"]

_log: Final = logging.getLogger(__name__)


async def close_books(exchange: Exchange, house: House) -> None:
    """Settle and record; raises ``JournalError``.

    A client that leaves meanwhile keeps neither from happening: the settling, which may be repeated, goes on by itself.
    """
    grant = exchange.grant
    if grant is not None:
        real = real_amounts(exchange)
        try:
            await house.state.settle(grant, real)
        except StateError:
            _unsettled(exchange)
        except asyncio.CancelledError:
            house.tasks.spawn(_settle(exchange, house, grant, real))
            _record(exchange, house)
            raise
    _record(exchange, house)


async def _settle(exchange: Exchange, house: House, grant: Grant, real: Mapping[str, int] | None) -> None:
    try:
        await house.state.settle(grant, real)
    except StateError:
        _unsettled(exchange)


def _unsettled(exchange: Exchange) -> None:
    _log.exception("exchange %s is not settled; its grant expires by itself", exchange.id)


def _record(exchange: Exchange, house: House) -> None:
    house.metrics.ended(exchange)
    line = encode(exchange)
    house.journal.append(line)
    house.access_log.write(line)
