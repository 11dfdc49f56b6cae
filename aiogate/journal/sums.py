"""Asks the totals: what was used and spent in a time, by whatever names one likes.

For reports, and for budgets to begin from. Where a cost centre is asked for, what several share is split between them,
to the nano-dollar.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import orjson

from aiogate.journal.tally import COUNTS, NAMES, QUARTER_SECONDS
from aiogate.journal.totals import Totals

__all__ = ["DIMENSIONS", "Sums", "spent_since", "split_up", "sums"]

_HOUR_SECONDS: Final = 3600
_DAY_SECONDS: Final = 86400
_TIMES: Final = {"hour": "%Y-%m-%dT%H:00Z", "day": "%Y-%m-%d", "month": "%Y-%m"}
_PLAIN: Final = ("principal", "department", "agent", "cost_center", "key_id", "model", "source")
DIMENSIONS: Final = (*_PLAIN, *_TIMES)
"""What can be asked by; times are in UTC."""


@attrs.frozen(kw_only=True)
class Sums:
    """What some exchanges used: counts, tokens by class as in ``Usage``, and money.

    ``unpriced`` of the ``calls`` were answered well and have no cost, for nobody has a price for what they used, or
    nobody knows what that was; they are not in ``cost_nanousd``.
    """

    calls: int = 0
    refused: int = 0
    unpriced: int = 0
    cost_nanousd: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        """Return both together."""
        return Sums(**{count: getattr(self, count) + getattr(other, count) for count in COUNTS})


def spent_since(directory: Path, since: float, by: Sequence[str]) -> Mapping[tuple[str, ...], Sums]:
    """Return what was used since a time, by the values of ``by``; ``""`` is the value of those that have none.

    Exact up to the journal's last record: what is not in the totals yet is folded first. ``since`` is in seconds since
    1970 and goes back to its quarter of an hour. An exchange counts from when it began. Not for the event loop.
    """
    with Totals.of(directory) as totals:
        totals.fold()
        return sums(totals, by, since)


def sums(
    totals: Totals,
    by: Sequence[str],
    since: float = 0.0,
    until: float | None = None,
    only: Mapping[str, str] | None = None,
) -> dict[tuple[str, ...], Sums]:
    """Return the sums of what began in a time, by the values of ``by`` out of ``DIMENSIONS``.

    Calls that several cost centres share count in each of them; tokens and money are split. Both ends of the time go
    back to their quarters of an hour. ``only`` names the values that some dimensions have to have.
    """
    wanted = only or {}
    names = [name for name in NAMES if name in by or name in wanted or (name == "split" and "cost_center" in by)]
    if "cost_center" in wanted and "split" not in names:
        names.append("split")
    step = next((seconds for part, seconds in (("hour", _HOUR_SECONDS), ("day", _DAY_SECONDS)) if part in by), 0)
    step = step or (_DAY_SECONDS if "month" in by else 0)
    found: dict[tuple[str, ...], Sums] = {}
    for begin, values, whole in _rows(totals, names, step, since, until):
        for named, part in _shared(dict(zip(names, values, strict=True)), whole):
            if any(named.get(name, "") != value for name, value in wanted.items()):
                continue
            key = tuple(named[name] if name in named else _time(name, begin) for name in by)
            found[key] = found[key] + part if key in found else part
    return found


def split_up(amount: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Return an amount split by percents; the parts sum up to it, and what is over goes to the first ones."""
    weights = {name: round(percent * 100) for name, percent in shares.items()}
    whole = sum(weights.values())
    parts = {name: amount * weight // whole for name, weight in weights.items()}
    for name in list(parts)[: amount - sum(parts.values())]:
        parts[name] += 1
    return parts


def _rows(
    totals: Totals, names: Sequence[str], step: int, since: float, until: float | None
) -> Iterable[tuple[int, tuple[str, ...], Sums]]:
    """Yield when, who and how much: out of whole days, or of whole hours where these are asked for, and of the rest."""
    table, size = ("hours", _HOUR_SECONDS) if step == _HOUR_SECONDS else ("days", _DAY_SECONDS)
    begin = int(since) // QUARTER_SECONDS * QUARTER_SECONDS
    end = 2**62 if until is None else int(until) // QUARTER_SECONDS * QUARTER_SECONDS
    first, last = -(-begin // size) * size, end // size * size
    if first >= last:
        first = last = end
    added = ", ".join(f"sum({count}) AS {count}" for count in COUNTS)
    when = f"bucket - bucket % {step}" if step else "0"
    part = f"SELECT {when} AS begin, who, {added} FROM {{}} WHERE bucket >= ? AND bucket < ? GROUP BY 1, 2"  # noqa: S608 - of constants
    columns = ", ".join(["begin", *(f'"{name}"' for name in names)])
    sql = (
        f"SELECT {columns}, {added} FROM ({part.format('quarters')} UNION ALL {part.format(table)} "  # noqa: S608 - likewise
        f"UNION ALL {part.format('quarters')}) AS parts JOIN who ON who.id = parts.who GROUP BY {columns}"
    )
    for begun, *rest in totals.db.execute(sql, (begin, first, first, last, last, end)):
        values, figures = rest[: len(names)], rest[len(names) :]
        yield begun, tuple(values), Sums(**dict(zip(COUNTS, map(int, figures), strict=True)))


def _shared(named: dict[str, str], whole: Sums) -> Iterable[tuple[dict[str, str], Sums]]:
    """Yield the names and sums of each cost centre that shares in something."""
    split = named.pop("split", "")
    if not split:
        yield named, whole
        return
    shares = orjson.loads(split)
    counted = {"calls", "refused", "unpriced"}
    parts = {count: split_up(getattr(whole, count), shares) for count in COUNTS if count not in counted}
    for name in shares:
        figures = {count: part[name] for count, part in parts.items()}
        yield {**named, "cost_center": name}, attrs.evolve(whole, **figures)


def _time(name: str, begin: int) -> str:
    return time.strftime(_TIMES[name], time.gmtime(begin))
