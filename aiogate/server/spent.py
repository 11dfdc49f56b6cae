"""What exchanges have used since a moment, out of the journal's totals; for budgets, which begin there.

Blocks: whoever asks does so in a thread. Knows nothing of budgets.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aiogate.hookspecs import Spent
from aiogate.journal import sums

__all__ = ["spent_since"]

_NAMES: Final = ("principal", "key_id", "department", "agent", "cost_center")


def spent_since(directory: Path, since: float) -> Iterator[Spent]:
    """Yield what was used by exchanges that began then or later, summed up by who, for whom and where.

    Exact up to the last record; ``since`` goes back to its quarter of an hour. Raises ``JournalError``.
    """
    for values, found in sums.spent_since(directory, since, _NAMES).items():
        named = {name: value or None for name, value in zip(_NAMES, values, strict=True)}
        yield Spent(
            **named,
            calls=found.calls - found.refused,
            tokens=found.input_tokens + found.output_tokens,
            cost_nanousd=found.cost_nanousd,
        )
