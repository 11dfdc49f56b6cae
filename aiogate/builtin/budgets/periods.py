"""Calendar periods: the hour, day, week or month of a time zone that a moment is in.

Knows nothing of budgets.
"""

from datetime import datetime, timedelta, tzinfo
from typing import Final

from aiogate import Period

__all__ = ["period_at"]

_HOUR_SECONDS: Final = 3600
_WEEK_DAYS: Final = 7
_MORE_THAN_A_MONTH: Final = timedelta(days=32)


def period_at(kind: str, zone: tzinfo, wall: float) -> Period:
    """Return the period of a moment in wall seconds; a day begins at midnight there, be it 23 or 25 hours long."""
    local = datetime.fromtimestamp(wall // 1, zone)  # to the microsecond it could be rounded into the next one
    if kind == "hour":
        return _hour(local, wall)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if kind == "day":
        first, following = day, day + timedelta(days=1)
    elif kind == "week":
        first = day - timedelta(days=day.weekday())
        following = first + timedelta(days=_WEEK_DAYS)
    else:
        first = day.replace(day=1)
        following = (first + _MORE_THAN_A_MONTH).replace(day=1)
    return Period(first.timestamp(), following.timestamp())


def _hour(local: datetime, wall: float) -> Period:
    """Return the hour by the clock of the zone, whose offset need not be in whole hours."""
    offset = local.utcoffset() or timedelta()
    seconds = offset.total_seconds()
    starts = (wall + seconds) // _HOUR_SECONDS * _HOUR_SECONDS - seconds
    return Period(starts, starts + _HOUR_SECONDS)
