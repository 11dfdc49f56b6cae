"""Small configs for tests that run a gateway."""

from typing import Any


def anonymous(url: str, **agent: Any) -> dict[str, Any]:
    """One agent that everybody may call, no plugins."""
    return {"server": {"anonymous": True}, "agents": {"echo": {"url": url, **agent}}}
