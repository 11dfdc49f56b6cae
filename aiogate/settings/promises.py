"""What a config promises and only a plugin can keep; for the loader.

A limit that is silently off is worse than none: each one that no enabled plugin enforces is refused here.
Knows nothing of how plugins keep their promises.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiogate.errors import Problem
from aiogate.settings.faults import dotted

__all__ = ["broken_promises"]

_KEPT_BY: Final = (
    ("required_role", "required_roles", "roles"),
    ("required_roles", "required_roles", "roles"),
    ("rate_limit", "rate_limit", "limits"),
    ("token_limit", "token_limit", "limits"),
    ("token_limit", "usage", "cost"),
    ("concurrency", "concurrency", "limits"),
    ("priority", "priority", "routing"),
    ("weight", "weight", "routing"),
    ("group", "group", "routing"),
    ("method_roles", "method_roles", "calls"),
)
"""Key of an agent, what a plugin has to enforce, the built-in that does."""


def broken_promises(agents: Mapping[str, Any], anonymous: object, enforced: frozenset[str]) -> Iterator[Problem]:
    """Yield what the raw tables of ``agents`` ask for and nobody in ``enforced`` does."""
    for agent_id, agent in agents.items():
        for key, promise, built_in in _KEPT_BY:
            if isinstance(agent, dict) and key in agent and promise not in enforced:
                message = f'is set, but no plugin in pipeline.plugins enforces it: add "{built_in}"'
                yield Problem(dotted(("agents", agent_id, key)), message)
    if "principal" not in enforced and anonymous is not True:
        message = 'no plugin authenticates callers; add "api_keys" or set server.anonymous = true'
        yield Problem("pipeline.plugins", message)
