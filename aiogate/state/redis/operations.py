"""What is asked of the script, in the shape in which it asks for it: see ``aiogate/state/lua``.

Knows nothing of connections.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from aiogate.claims import LARGEST_AMOUNT, Claim, Counted, Grant, Quota, Shortage
from aiogate.state.redis.share import Share

__all__ = ["MICRO", "Held", "Operation", "Row", "decided", "micros", "rows_of"]

MICRO: Final = 1_000_000
_FIELDS: Final = 6
"""What the script says of each claim: remaining, reset, amount, spent, held, entry."""
_KINDS: Final = {Counted.WINDOW: "w", Counted.LEASE: "l", Counted.PERIOD: "p"}

Row = list[Any]
"""A claim as the script reads it: counter, kind, limit, micros, amount, ends, seen, entry, held, least."""


def micros(seconds: float) -> int:
    """Return seconds as whole microseconds, never fewer."""
    return math.ceil(seconds * MICRO)


@attrs.define(eq=False)
class Operation:
    """One thing that is asked of the counters, in one batch or, where its answer was lost, in several.

    Args:
        code: the function of ``claims.lua``.
        before: what stands before the rows.
        rows: each with the name of its counter first.
        after: what stands behind the rows.
        answer: where somebody waits; nobody does for the rest, which is sent until it is done.
        heard: takes the answer when nobody waits, or does not any more.
        undo: what takes it back, when nobody knows whether it was done; by the number of its batch.
        at: when it happened, in monotonic seconds, if the script is to know how long ago that was.
        asked: when somebody began to wait, in the loop's seconds.
        first: number of the first batch that it was in; 0: of none whose answer was lost.
        lasts: False where it is not worth being sent later.
    """

    code: str
    rows: Sequence[Row]
    before: tuple[Any, ...] = ()
    after: tuple[Any, ...] = ()
    answer: asyncio.Future[Any] | None = None
    heard: Callable[[Any], None] | None = None
    undo: "Callable[[int], Operation] | None" = None
    at: float | None = None
    asked: float = 0.0
    first: int = 0
    lasts: bool = True

    def told(self, index: Callable[[str], int], now: float) -> list[Any]:
        """Return the operation as the script reads it; ``index`` gives a counter's place among the keys."""
        rows = [[index(row[0]), *row[1:]] for row in self.rows]
        age = () if self.at is None else (micros(max(0.0, now - self.at)),)
        return [self.code, self.first, *self.before, *age, rows, *self.after]


@attrs.define(eq=False)
class Held:
    """What a grant has taken: its rows, and its grants on the counters that stand in for Redis."""

    rows: list[Row]
    claims: Sequence[Claim]
    local: list[tuple[Share, Grant]] = attrs.field(factory=list)

    def settlement(self, actual: Mapping[str, int] | None) -> tuple[list[Row], list[int]]:
        """Return the rows that are settled with something, and with what; -1: as claimed."""
        rows, amounts = [], []
        for row, claim in zip(self.rows, self.claims, strict=True):
            amount = actual.get(claim.name) if actual else None
            if amount is not None or claim.kind is not Counted.WINDOW:
                rows.append(row)
                amounts.append(-1 if amount is None else max(0, amount))
        return rows, amounts


def rows_of(claims: Sequence[Claim], spent: Mapping[str, int]) -> list[Row]:
    """Return claims as rows; ``spent`` is what periods are known to have spent, by counter."""
    return [
        [
            claim.counter,
            _KINDS[claim.kind],
            min(claim.limit, LARGEST_AMOUNT),
            micros(claim.seconds),
            min(claim.amount, LARGEST_AMOUNT),
            0 if claim.period is None else micros(claim.period.ends),
            0 if claim.period is None else spent.get(claim.counter, 0),
            "",
            0,
            claim.least or 0,
        ]
        for claim in claims
    ]


def decided(reply: Sequence[int], claims: Sequence[Claim], grant_id: int) -> Grant | Shortage:
    """Return the script's decision on claims."""
    granted = reply[0] == 1
    fields = reply[1 if granted else 3 :]
    quotas = tuple(
        _quota(claim, fields[place : place + _FIELDS], granted=granted)
        for claim, place in zip(claims, range(0, len(fields), _FIELDS), strict=True)
    )
    if granted:
        return Grant(grant_id, quotas)
    return Shortage(quotas[reply[1] - 1].claim, reply[2] / MICRO, quotas)


def _quota(claim: Claim, fields: Sequence[int], *, granted: bool) -> Quota:
    remaining, reset, amount, spent, held, _ = fields
    if claim.period is None:
        return Quota(claim, remaining, reset / MICRO)
    # it may be less; and a hold that has ended is claimed with all of it
    if amount != claim.amount and (claim.least is not None or not granted):
        claim = attrs.evolve(claim, amount=amount)
    return Quota(claim, remaining, reset / MICRO, spent, held)
