"""Times as people give them on the command line: so long ago, or a moment."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from aiogate.exchange import Clock

__all__ = ["moment"]

_AGO: Final = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[dhm])")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}


def moment(text: str, option: str = "--since") -> datetime:
    """Return the moment that ``7d`` ago or ``2026-01-31T00:00:00Z`` is; raises ``click.UsageError``."""
    match = _AGO.fullmatch(text)
    try:
        if match:
            ago = timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
            return datetime.fromtimestamp(Clock().wall(), UTC) - ago
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        found = None
    if found is None or found.tzinfo is None:
        msg = f"{option}: expected 7d, 12h, 30m or a time such as 2026-01-31T00:00:00Z, got {text!r}"
        raise click.UsageError(msg)
    return found
