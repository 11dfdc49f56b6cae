"""What the rules would have said of an exchange that is over, of which some things are not known any more.

A rule that needs one of those is undecided, unless the rest decides it. Knows nothing of where exchanges are kept.
"""

from typing import Final

import attrs

from aiogate.builtin.policies.conditions import Bound
from aiogate.builtin.policies.verdicts import Chapter

__all__ = ["Replayed", "replayed"]


@attrs.frozen
class Replayed:
    """What the rules say: ``rule`` denies; or ``undecided`` would have to be decided first; or neither: they pass it.

    Args:
        rule: the first that certainly denies.
        undecided: rules that nobody can decide without ``missing``; those before ``rule`` if there is one.
        missing: names of the values that the undecided rules need.
    """

    rule: str | None = None
    undecided: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()


_PASSED: Final = Replayed()


def replayed(chapter: Chapter, bound: Bound, unknown: frozenset[str]) -> Replayed:
    """Return what a chapter says of values of which those of the ``unknown`` names are not there."""
    undecided: list[str] = []
    missing: frozenset[str] = frozenset()
    for verdict in chapter.verdicts(bound):
        name = verdict.rule.settings.name
        needed = verdict.rule.condition.names & unknown if verdict.failure is not None else frozenset[str]()
        if not needed:
            return Replayed(name, tuple(undecided), missing)
        undecided.append(name)
        missing |= needed
    return Replayed(None, tuple(undecided), missing) if undecided else _PASSED
