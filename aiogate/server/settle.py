"""Gives the counters back what an exchange claimed, with what it really took; whatever comes of that, its end stands.

For the walk, once the record is written. Knows nothing of answers.
"""

import asyncio
import logging
from typing import Final

from aiogate.claims import Grant
from aiogate.exchange import Exchange
from aiogate.server.claim import real_amounts
from aiogate.server.house import House

__all__ = ["settle"]

_log: Final = logging.getLogger(__name__)


async def settle(exchange: Exchange, grant: Grant, house: House) -> None:
    """Settle a grant; when the exchange's task is cancelled meanwhile, somebody else does it again: twice is once."""
    actual = real_amounts(exchange)
    try:
        await house.state.settle(grant, actual)
    except asyncio.CancelledError:
        house.tasks.spawn(house.state.settle(grant, actual))
        raise
    except Exception:  # noqa: BLE001 - the border to the counters: the record is written, and the answer may leave
        _log.exception("exchange %s is not settled; its grant expires by itself", exchange.id)
