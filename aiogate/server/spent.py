"""What exchanges have used since a moment, out of the journal's totals; for budgets, which begin there.

Where gateways share a Redis it is what all their journals say: of this one up to its last record, of the others as far
as they were shipped. Blocks: whoever asks does so in a thread. Knows nothing of budgets.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from aiogate.errors import StateError
from aiogate.hookspecs import Spent
from aiogate.journal import sums
from aiogate.journal.backlog import source_of
from aiogate.journal.tally import QUARTER_SECONDS
from aiogate.journal.totals import Totals
from aiogate.server.fleet import fleet_sums
from aiogate.settings.model import Settings

__all__ = ["spent_since"]

_log: Final = logging.getLogger(__name__)
_NAMES: Final = ("principal", "key_id", "department", "agent", "cost_center")
_DAY_SECONDS: Final = 86400


def spent_since(settings: Settings, since: float, now: float) -> Iterator[Spent]:
    """Yield what was used by exchanges that began then or later, summed up by who, for whom and where.

    Exact up to the last record; ``since`` goes back to its quarter of an hour. Without Redis it is what this journal
    says. Raises ``JournalError``.
    """
    directory = settings.journal.dir
    if settings.state.url.reveal() == "memory://":
        found = sums.spent_since(directory, since, _NAMES)
    else:
        found = _spent_by_all(settings, directory, since, now)
    for values, used in found.items():
        named = {name: value or None for name, value in zip(_NAMES, values, strict=True)}
        yield Spent(
            **named,
            calls=used.calls - used.refused,
            tokens=used.input_tokens + used.output_tokens,
            cost_nanousd=used.cost_nanousd,
        )


def _spent_by_all(settings: Settings, directory: Path, since: float, now: float) -> Mapping[tuple[str, ...], sums.Sums]:
    begin = since // QUARTER_SECONDS * QUARTER_SECONDS
    try:
        _, rows = fleet_sums(settings.state, begin, now + _DAY_SECONDS, without=source_of(directory))
    except StateError as error:
        _log.error("what other gateways have used is not known: %s", error)
        rows = []
    with Totals.of(directory) as totals:
        totals.fold()
        rows += totals.quarters_since(begin)
    with Totals.in_memory(rows) as totals:
        return sums.sums(totals, _NAMES, begin)
