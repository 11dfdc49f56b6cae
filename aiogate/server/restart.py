"""What a running gateway keeps whatever a new config says, and what to do about it; for reloads.

Knows which settings are read once, at the start: listeners, journal and counters outlive every config.
"""

from collections.abc import Callable
from typing import Any, Final

import attrs

from aiogate.errors import Problem
from aiogate.settings.model import Settings

__all__ = ["KEPT", "keep_what_stands"]

KEPT: Final[dict[str, tuple[str, ...]]] = {
    "server": ("listen", "access_log", "keepalive_seconds", "workers"),
    "admin": ("listen", "events"),
    "state": ("url", "prefix", "timeout_seconds", "on_error", "stream_records", "fleet_days"),
    "journal": ("dir", "fsync", "segment_bytes", "compress", "retention_days", "on_journal_error"),
}
"""Section, and those of its keys that are read once."""


def keep_what_stands(running: Settings, loaded: Settings) -> tuple[Settings, tuple[Problem, ...]]:
    """Return ``loaded`` with what cannot change put back to what is so, and each thing that was put back."""
    kept, sections = list[Problem](), dict[str, Any]()
    for name, keys in KEPT.items():
        old, new = getattr(running, name), getattr(loaded, name)
        changed = [key for key in keys if getattr(old, key) != getattr(new, key)]
        kept += [Problem(f"{name}.{key}", _sentence(getattr(old, key), getattr(new, key))) for key in changed]
        sections[name] = attrs.evolve(new, **{key: getattr(old, key) for key in changed})
    return attrs.evolve(loaded, **sections), tuple(kept)


def _sentence(old: object, new: object) -> str:
    shown: Callable[[object], str] = str  # of a secret that is ***
    return f"stays {shown(old)} until aiogate is started anew; {shown(new)} is not in force"
