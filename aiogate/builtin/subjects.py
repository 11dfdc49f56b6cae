"""What limits and budgets are for, and what has a counter of its own: principals, departments, agents and so on.

For ``limits`` and ``budgets``. Knows nothing of rates and money.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

import attrs

from aiogate import Agent, Principal

__all__ = [
    "NOBODY",
    "Facts",
    "Match",
    "Values",
    "as_tuple",
    "combinations",
    "facts_of",
    "fits",
    "is_name",
    "unknown_agents",
]

NOBODY: Final = Principal(id="")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

Values = str | tuple[str, ...]
Facts = dict[str, tuple[str | None, ...]]
"""What an exchange is of each subject; several of them only where it has several roles."""


def is_name(_owner: object, _attribute: object, value: str) -> None:
    """Check what a limit, a budget or a rule is called."""
    if not _NAME.fullmatch(value):
        msg = "expected 1 to 64 letters, digits, '_', '.' or '-'"
        raise ValueError(msg)


def as_tuple(values: Values) -> tuple[str, ...]:
    """Return what the config may write as one name or as several."""
    return (values,) if isinstance(values, str) else values


@attrs.frozen(kw_only=True)
class Match:
    """Which exchanges something is for: all that is given must fit, and any one value of each fits.

    Args:
        principal: ids of principals.
        department: their departments.
        role: roles; a principal has one of them.
        agent: ids of agents.
        key: ids of API keys.
    """

    principal: Values = attrs.field(default=(), converter=as_tuple)
    department: Values = attrs.field(default=(), converter=as_tuple)
    role: Values = attrs.field(default=(), converter=as_tuple)
    agent: Values = attrs.field(default=(), converter=as_tuple)
    key: Values = attrs.field(default=(), converter=as_tuple)


def facts_of(principal: Principal, agent: Agent | None) -> Facts:
    """Return the subjects of an exchange; without an agent it is not known yet who serves."""
    facts: Facts = {
        "principal": (principal.id,),
        "department": (principal.department,),
        "role": tuple(sorted(principal.roles)),
        "key": (principal.key_id,),
    }
    if agent is not None:
        facts["agent"] = (agent.id,)
        facts["cost_center"] = (agent.cost_center or principal.cost_center,)
    return facts


def fits(match: object, subjects: Sequence[str], facts: Facts) -> bool:
    """Tell whether all ``subjects`` that ``match`` names values of fit, any one value of each.

    A subject that is not known fits nothing.
    """
    return all(
        not (wanted := getattr(match, name)) or not set(wanted).isdisjoint(facts.get(name, ())) for name in subjects
    )


def unknown_agents(names: Values, agents: Mapping[str, Agent]) -> Iterator[str]:
    """Yield what is wrong with the ids of agents that there are not."""
    for name in as_tuple(names):
        if name not in agents:
            close = get_close_matches(name, agents, n=1)
            yield f"there is no agent {name!r}{f'; did you mean {close[0]!r}?' if close else ''}"


def combinations(per: Sequence[str], roles: Values, facts: Facts) -> Iterator[tuple[str | None, ...]]:
    """Yield what an exchange is counted on: one combination, unless it counts per role and there are several.

    ``roles`` are those that count, where not all do. Nothing where a subject is not known.
    """
    counted = tuple(role for role in facts["role"] if not roles or role in roles)
    return itertools.product(*(counted if name == "role" else facts.get(name, ()) for name in per))
