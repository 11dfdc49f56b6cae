"""What exchanges have used since a moment, out of the journal; for budgets, which begin there.

Blocks: whoever asks does so in a thread.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiogate.errors import AiogateError
from aiogate.hookspecs import Spent
from aiogate.journal.reader import Record, records

__all__ = ["spent_since"]

_NAMES: Final = ("principal", "key_id", "department", "agent", "cost_center")


def spent_since(directory: Path, since: float) -> Iterator[Spent]:
    """Yield what the records say that began at ``since`` or later, summed up by who, for whom and where."""
    sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    try:
        for record in records(directory, datetime.fromtimestamp(since, UTC)):
            tokens, nanousd = _used(record)
            if tokens or nanousd:
                group = sums[tuple(record.get(name) for name in _NAMES)]
                group[0] += tokens
                group[1] += nanousd
    except OSError as error:
        msg = f"the journal cannot be read: {error}"
        raise AiogateError(msg) from error
    for names, (tokens, nanousd) in sums.items():
        yield Spent(**dict(zip(_NAMES, names, strict=True)), tokens=tokens, cost_nanousd=nanousd)


def _used(record: Record) -> tuple[int, int]:
    usage = record.get("usage") or {}
    return (usage.get("input_tokens") or 0) + (usage.get("output_tokens") or 0), record.get("cost_nanousd") or 0
