"""Adds records up: by quarter of an hour and by everything that sums are asked for by, in memory; for the totals.

Knows nothing of files or SQL. A record counts in the quarter in which its exchange began: in any time zone that is in
use, days and hours begin with one.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs
import orjson

from aiogate.journal.reader import Record

__all__ = ["COUNTS", "NAMES", "QUARTER_SECONDS", "TOKENS", "Key", "Tally"]

QUARTER_SECONDS: Final = 900

NAMES: Final = ("principal", "department", "agent", "cost_center", "split", "key_id", "model", "source")
"""What sums are kept by besides the time; ``""``: none. ``split`` is JSON, the shares of several cost centres."""

TOKENS: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
)
COUNTS: Final = ("calls", "refused", "unpriced", "cost_nanousd", *TOKENS)
"""What is summed up, in this order."""

_QUARTERS: Final = {f"{minute:02}": f"{minute // 15 * 15:02}" for minute in range(60)}
_FAILED_STATUS: Final = 400
_INT64_MAX: Final = 2**63 - 1
_CALLS, _REFUSED, _UNPRICED, _COST = range(4)
_PLACES: Final = {name: COUNTS.index(name) for name in TOKENS}
_FIGURES: Final = (int, type(None))

Key = tuple[str, ...]


@attrs.define
class Tally:
    """Sums of some records, by the quarter's text and ``NAMES``."""

    _sums: dict[Key, list[int]] = attrs.field(factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there was any record."""
        return bool(self._sums)

    def add(self, record: Record) -> None:
        """Add a record; raises ``ValueError`` for one whose figures are none."""
        usage, time = record["usage"], record["time"]
        shares = record.get("cost_centers")
        key = (
            time[:14] + _QUARTERS[time[14:16]],
            record.get("principal") or "",
            record.get("department") or "",
            record.get("agent") or "",
            record.get("cost_center") or "",
            "" if shares is None else orjson.dumps(shares, option=orjson.OPT_SORT_KEYS).decode(),
            record.get("key_id") or "",
            usage.get("model") or "",
            usage["source"],
        )
        sums = self._sums.get(key)
        if sums is None:
            sums = self._begun(key)
        cost = record["cost_nanousd"]
        tokens = [(_PLACES[name], figure) for name, figure in usage.items() if name in _PLACES]
        if type(cost) not in _FIGURES or any(type(figure) is not int for _, figure in tokens):
            msg = "a figure is no integer"
            raise ValueError(msg)
        sums[_CALLS] += 1
        if record["outcome"] == "refused":
            sums[_REFUSED] += 1
        if cost is None and (record.get("unpriced") or _was_answered(record)):
            sums[_UNPRICED] += 1
        if cost:
            sums[_COST] += cost
        for place, figure in tokens:
            sums[place] += figure

    def rows(self) -> Iterator[tuple[int, Key, list[int]]]:
        """Yield the quarter in seconds since 1970, the names and the sums, in the order of ``COUNTS``."""
        for (quarter, *names), sums in self._sums.items():
            yield _seconds(quarter), tuple(names), [min(figure, _INT64_MAX) for figure in sums]

    def _begun(self, key: Key) -> list[int]:
        if not all(type(name) is str for name in key):
            msg = "a name is no text"
            raise ValueError(msg)
        _seconds(key[0])
        sums = self._sums[key] = [0] * len(COUNTS)
        return sums


def _was_answered(record: Record) -> bool:
    """Tell whether an agent gave a good answer: without a cost that is unpriced, whether its usage is known or not."""
    return record.get("agent") is not None and 0 < record.get("status", 0) < _FAILED_STATUS


def _seconds(quarter: str) -> int:
    return int(datetime.fromisoformat(f"{quarter}:00+00:00").timestamp())
