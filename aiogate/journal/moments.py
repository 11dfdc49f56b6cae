"""Times as people give them: so long ago, or a moment. For commands and for the admin listener."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["moment_of"]

_AGO: Final = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[dhm])")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}


def moment_of(text: str, wall: float) -> datetime:
    """Return the moment that ``7d`` before ``wall`` or ``2026-01-31T00:00:00Z`` is; raises ``ValueError``."""
    match = _AGO.fullmatch(text)
    try:
        if match:
            ago = timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
            return datetime.fromtimestamp(wall, UTC) - ago
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        found = None
    if found is None or found.tzinfo is None:
        msg = f"expected 7d, 12h, 30m or a time such as 2026-01-31T00:00:00Z, got {text!r}"
        raise ValueError(msg)
    return found
