"""What the plugins know of limits, for operators. A plugin that keeps some has a method ``async limits()``."""

from collections.abc import Iterable
from typing import Any

import attrs

from aiogate.server.generation import Generation

__all__ = ["limits_of", "merge"]


async def limits_of(generation: Generation) -> list[dict[str, Any]]:
    """Return how the counters of all limits stand that somebody has taken from lately; raises ``StateError``."""
    found = []
    for plugin in generation.pipeline.plugins.values():
        if (limits := getattr(plugin, "limits", None)) is not None:
            found += [attrs.asdict(report) for report in await limits()]
    return found


def merge(views: Iterable[Iterable[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return what several processes say of the counters that they share, each counter once."""
    known = {(one["name"], one["unit"], repr(one["per"])): one for view in views for one in view}
    return list(known.values())
