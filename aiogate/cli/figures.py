"""What operators read off a running gateway, out of what ``/api/live`` and ``/api/budgets`` say; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aiogate.journal.pretty import duration

__all__ = ["budget_line", "burn", "dollars", "left_of", "quantile", "shown_quantile", "since_then"]

_NANO: Final = 10**9
_LARGE: Final = 100.0
_SMALL: Final = 0.00005
Buckets = Sequence[Sequence[Any]]
"""Upper bound in seconds, as text, and how many took no longer; the last bound is ``+Inf``."""


def dollars(nanousd: float) -> str:
    """Return money for a person: two digits from a hundred dollars on, four below."""
    amount = nanousd / _NANO
    if 0 < amount < _SMALL:
        return "<$0.0001"
    return f"${amount:,.{2 if amount >= _LARGE or not amount else 4}f}"


def quantile(buckets: Buckets, share: float) -> float | None:
    """Return what ``share`` of all took no longer than, as close as the buckets tell; None: there were none."""
    whole = buckets[-1][1] if buckets else 0
    if not whole:
        return None
    wanted, below, count_below = share * whole, 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == "+Inf":
                return below
            within = (wanted - count_below) / (count - count_below) if count > count_below else 1.0
            return below + (float(bound) - below) * within
        below, count_below = (below if bound == "+Inf" else float(bound)), count
    return below


def shown_quantile(buckets: Buckets, share: float) -> str:
    """Return it for a person."""
    seconds = quantile(buckets, share)
    if seconds is None:
        return "-"
    longest = float(buckets[-2][0]) if len(buckets) > 1 else 0.0
    return f">{duration(seconds)}" if seconds >= longest else duration(seconds)


def since_then(now: Buckets, before: Buckets) -> Buckets:
    """Return the buckets of what has ended between two looks; everything, where it was less before: a restart."""
    if len(now) != len(before) or (now and now[-1][1] < before[-1][1]):
        return now
    return [[bound, count - earlier[1]] for (bound, count), earlier in zip(now, before, strict=True)]


def burn(budget: Mapping[str, Any], wall: float) -> float | None:
    """Return which share of a budget will be spent at its period's end if it goes on like this; None: too early."""
    starts, ends = (datetime.fromisoformat(budget[name]).timestamp() for name in ("period_starts", "period_ends"))
    passed = (wall - starts) / max(1.0, ends - starts)
    if passed <= 0.01 or not budget["limit"]:  # noqa: PLR2004 - a hundredth of a period tells nothing yet
        return None
    return float(budget["spent"] / budget["limit"] / min(1.0, passed))


def left_of(budget: Mapping[str, Any]) -> int:
    """Return what may still be spent of a budget."""
    return max(0, int(budget["limit"] - budget["spent"] - budget["held"]))


def budget_line(budget: Mapping[str, Any], wall: float) -> list[str]:
    """Return a budget as columns: name, whose, limit, spent, held, left, share, burn."""
    money = budget["unit"] == "nanousd"

    def amount(figure: int) -> str:
        return dollars(figure) if money else f"{figure:,}"

    who = ", ".join(f"{value}" for value in budget["per"].values()) or "everybody"
    pace = burn(budget, wall)
    figures = (budget["limit"], budget["spent"], budget["held"], left_of(budget))
    return [
        budget["budget"],
        who,
        *map(amount, figures),
        f"{100 * budget['share']:.0f} %",
        "-" if pace is None else f"{100 * pace:.0f} %",
    ]
