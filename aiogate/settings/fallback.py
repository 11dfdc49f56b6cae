"""Which agents serve in place of others, as the config names them: unknown names and circles; for the loader.

Works on raw tables, so that a fault elsewhere in an agent hides none here.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from aiogate.errors import Problem
from aiogate.settings.faults import dotted

__all__ = ["lost_fallbacks"]


def lost_fallbacks(agents: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the names in ``fallback`` that lead nowhere, or back to where they began."""
    for agent_id in agents:
        for index, name in enumerate(_named(agents, agent_id)):
            path = dotted(("agents", agent_id, "fallback", index))
            if name not in agents:
                close = get_close_matches(name, agents, n=1)
                yield Problem(path, f"there is no agent {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
            elif name == agent_id:
                yield Problem(path, "an agent cannot serve in its own place")
            elif agent_id in _reached(agents, name):
                yield Problem(path, f"leads in a circle: {name!r} falls back on {agent_id!r} in its turn")


def _named(agents: Mapping[str, Any], agent_id: str) -> list[str]:
    table = agents.get(agent_id)
    names = table.get("fallback") if isinstance(table, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _reached(agents: Mapping[str, Any], agent_id: str) -> set[str]:
    """Return whom an agent falls back on, directly or by others."""
    reached, ahead = set[str](), [agent_id]
    while ahead:
        for name in _named(agents, ahead.pop()):
            if name not in reached:
                reached.add(name)
                ahead.append(name)
    return reached
