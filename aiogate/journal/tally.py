"""Adds records up: by quarter of an hour and by everything that sums are asked for by, in memory; for the totals.

Knows nothing of files or SQL. A record counts in the quarter in which its exchange began: in any time zone that is in
use, days and hours begin with one.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import attrs
import orjson

from aiogate.journal.reader import Record

__all__ = ["CALLS", "COST", "COUNTS", "LARGEST", "NAMES", "QUARTER_SECONDS", "TOKENS", "UNPRICED", "Key", "Tally"]

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

LARGEST: Final = 2**63 - 1
"""No sum is larger, whatever an agent has declared: SQLite and JSON have no words for more."""

_QUARTERS: Final = {f"{minute:02}": f"{minute // 15 * 15:02}" for minute in range(60)}
_FAILED_STATUS: Final = 400
CALLS, _REFUSED, UNPRICED, COST = range(4)
"""Where some of them stand."""
_PLACES: Final = {name: COUNTS.index(name) for name in TOKENS}
_NO_FIGURE: Final = "a figure is no integer, or below 0"
_SHARES: Final = (int, float)
_LEAST_SHARE: Final = 0.01
_WHOLE: Final = 100

Key = tuple[str, ...]


@attrs.define
class Tally:
    """Sums of some records, by the beginning of a quarter in seconds since 1970 and ``NAMES``."""

    _sums: dict[tuple[float, Key], list[int]] = attrs.field(factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there was any record."""
        return bool(self._sums)

    def add(self, record: Record) -> None:
        """Add a record; raises ``ValueError`` for one whose figures are none."""
        usage, time, get = record["usage"], record["time"], record.get
        shares = get("cost_centers")
        names = (
            get("principal") or "",
            get("department") or "",
            get("agent") or "",
            get("cost_center") or "",
            "" if shares is None else _split(shares),
            get("key_id") or "",
            usage.get("model") or "",
            usage["source"],
        )
        cost = record["cost_nanousd"]
        if cost is not None and (type(cost) is not int or not 0 <= cost <= LARGEST):
            raise ValueError(_NO_FIGURE)
        tokens = []
        for name, figure in usage.items():
            place = _PLACES.get(name)
            if place is not None:
                if type(figure) is not int or not 0 <= figure <= LARGEST:
                    raise ValueError(_NO_FIGURE)
                tokens.append((place, figure))
        refused = record["outcome"] == "refused"
        unpriced = cost is None and bool(get("unpriced") or _was_answered(record))
        # not before all of the record is known to be sound
        sums = self.sums_of(_seconds(time[:14] + _QUARTERS[time[14:16]]), names)
        sums[CALLS] += 1
        if refused:
            sums[_REFUSED] += 1
        if unpriced:
            sums[UNPRICED] += 1
        if cost:
            sums[COST] += cost
        for place, figure in tokens:
            sums[place] += figure

    def sums_of(self, quarter: float, names: Key) -> list[int]:
        """Return the sums of a quarter and names, in the order of ``COUNTS``, to be added to."""
        sums = self._sums.get((quarter, names))
        if sums is None:
            if not all(type(name) is str for name in names):
                msg = "a name is no text"
                raise ValueError(msg)
            sums = self._sums[quarter, names] = [0] * len(COUNTS)
        return sums

    def rows(self) -> Iterator[tuple[int, Key, list[int]]]:
        """Yield the quarter in seconds since 1970, the names and the sums, in the order of ``COUNTS``."""
        for (quarter, names), sums in self._sums.items():
            yield int(quarter), names, [min(figure, LARGEST) for figure in sums]


def _split(shares: Any) -> str:  # noqa: ANN401 - whatever stands in the record
    """Return what several cost centres share as a name; raises ``ValueError`` where nothing can be split by it."""
    parts = list(shares.values())
    if not parts or not all(type(part) in _SHARES and _LEAST_SHARE <= part <= _WHOLE for part in parts):
        msg = "the shares of the cost centres are none"
        raise ValueError(msg)
    return orjson.dumps(shares, option=orjson.OPT_SORT_KEYS).decode()


def _was_answered(record: Record) -> bool:
    """Tell whether an agent gave a good answer: without a cost that is unpriced, whether its usage is known or not."""
    return record.get("agent") is not None and 0 < record.get("status", 0) < _FAILED_STATUS


@lru_cache(maxsize=256)
def _seconds(quarter: str) -> int:
    return int(datetime.fromisoformat(f"{quarter}:00+00:00").timestamp())
