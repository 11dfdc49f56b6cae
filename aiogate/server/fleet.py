"""What the journals of all gateways sum up to, as the centre knows it; for reports and for budgets to begin from.

Blocks, since it makes a loop of its own: whoever asks does so in a thread, or has no loop. Knows no budgets.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiogate.errors import AiogateError, StateError
from aiogate.journal.tally import Key
from aiogate.server.counters import central_of
from aiogate.settings.model import StateSettings

if TYPE_CHECKING:
    from aiogate.state.redis.central import Central, Source  # redis-py takes long to import

__all__ = ["fleet_sums"]

Row = tuple[int, Key, list[int]]


def fleet_sums(
    settings: StateSettings, since: float, until: float, without: str = ""
) -> "tuple[Sequence[Source], list[Row]]":
    """Return the journals that were heard of, and their sums by the quarters between two times, in no order.

    ``without`` is a journal that is left out, by its id. Raises ``StateError``, and ``AiogateError`` where nothing is
    shared.
    """
    central = central_of(settings)
    if central is None:
        msg = "[state] url is memory://: there is no fleet, and this journal is all there is"
        raise AiogateError(msg)
    return asyncio.run(_read(central, since, until, without))


async def _read(central: "Central", since: float, until: float, without: str) -> "tuple[Sequence[Source], list[Row]]":
    try:
        sources, rows = await central.sources(), list[Row]()
        for source in sources:
            if source.id != without:
                found = await central.rows(source.id, since, until)
                rows.extend((quarter, names, list(figures)) for quarter, names, figures in found)
    except StateError as error:
        msg = f"the sums of the fleet are not to be had: {error}"
        raise StateError(msg) from error
    finally:
        await central.close()
    return sources, rows
