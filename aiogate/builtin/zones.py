"""Time zones by the names that configs use, for the built-ins that go by a calendar."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["zone_of"]


def zone_of(name: str) -> tzinfo:
    """Return a time zone of the IANA's database; ValueError when there is none of that name."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # KeyError: ZoneInfoNotFoundError
        msg = f"expected a time zone such as 'Europe/Berlin', got {name!r} (a system without zones: pip install tzdata)"
        raise ValueError(msg) from None
