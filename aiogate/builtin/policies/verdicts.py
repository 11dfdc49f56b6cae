"""What the rules say of an agent: the first that denies, and which of those in the shadow would.

Rules are indexed by agent, and those of the same agents are asked together, in one evaluation that is false for nearly
every exchange; one by one only where it is not. A rule that fails denies. Knows nothing of exchanges: values go in,
verdicts come out.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self

import attrs

from aiogate.builtin.policies.conditions import Bound, Call, Condition, ConditionFailed, Language
from aiogate.builtin.policies.rules import PoliciesConfig, RuleSettings, language

__all__ = ["Chapter", "Rule", "Rulebook", "Verdict"]

_TOGETHER: Final = 64
"""So many conditions are asked in one evaluation."""


@attrs.frozen
class Rule:
    """A rule and its compiled condition; ``place`` is its own among the others."""

    place: int
    settings: RuleSettings
    condition: Condition

    def verdict(self, bound: Bound) -> "Verdict | None":
        """Return what it has against the values; None: nothing."""
        try:
            return Verdict(self) if self.condition.holds(bound) else None
        except ConditionFailed as failed:
            return Verdict(self, str(failed))


@attrs.frozen
class Verdict:
    """A rule that denies; ``failure`` says why it could not be decided, which denies too."""

    rule: Rule
    failure: str | None = None


@attrs.frozen
class _Page:
    """Rules of the same agents, and one condition that is false only when all of theirs are."""

    rules: tuple[Rule, ...]
    any_of: Condition | None

    @classmethod
    def of(cls, rules: tuple[Rule, ...], speech: Language) -> Self:
        return cls(rules, speech.any_of(rule.condition for rule in rules) if len(rules) > 1 else None)

    def suspects(self, bound: Bound) -> tuple[Rule, ...]:
        """Return the rules of which one may deny: none or all."""
        try:
            return () if self.any_of is not None and not self.any_of.holds(bound) else self.rules
        except ConditionFailed:
            return self.rules


@attrs.frozen
class Chapter:
    """The rules of one agent in one mode; ``names`` are the variables that they mention."""

    names: frozenset[str]
    needs_body: bool
    rules: tuple[Rule, ...]
    _pages: tuple[_Page, ...]
    _calls: tuple[Call, ...]
    _speech: Language

    @property
    def dependencies(self) -> frozenset[str]:
        """What the verdicts depend on: ``names``, with ``now.minute`` for ``now.time`` where that is enough."""
        if any(rule.condition.mentions("now.time", but_in="time_between") for rule in self.rules):
            return self.names
        return frozenset("now.minute" if name == "now.time" else name for name in self.names)

    @classmethod
    def of(cls, pages: Iterable[_Page], speech: Language) -> Self:
        """Bind pages together; their rules come in the order of the config."""
        pages = tuple(pages)
        rules = sorted((rule for page in pages for rule in page.rules), key=_place)
        return cls(
            frozenset().union(*(rule.condition.names for rule in rules)),
            any(rule.settings.needs_body for rule in rules),
            tuple(rules),
            pages,
            tuple(dict.fromkeys(call for rule in rules for call in rule.condition.calls)),
            speech,
        )

    def bind(self, values: Mapping[str, object]) -> Bound:
        """Return what the rules are asked on."""
        return self._speech.bind(values, self._calls)

    def verdicts(self, bound: Bound) -> Iterator[Verdict]:
        """Yield the verdicts of the rules that deny, in their order."""
        suspects = [rule for page in self._pages for rule in page.suspects(bound)]
        if len(self._pages) > 1:
            suspects.sort(key=_place)
        for rule in suspects:
            if verdict := rule.verdict(bound):
                yield verdict


@attrs.frozen
class Rulebook:
    """The rules in force."""

    _enforced: "_Part"
    _shadows: "_Part"

    @classmethod
    def of(cls, config: PoliciesConfig) -> Self | None:
        """Put rules in force; None when there are none, so that CEL is not even imported."""
        if not config.rule:
            return None
        speech = language(config.timezone)
        rules = [Rule(place, rule, rule.condition(config.timezone)) for place, rule in enumerate(config.rule)]
        return cls(
            _Part.of([rule for rule in rules if rule.settings.enforced], speech),
            _Part.of([rule for rule in rules if not rule.settings.enforced], speech),
        )

    @property
    def has_shadows(self) -> bool:
        """Whether there is any rule in the shadow."""
        return bool(self._shadows.everywhere.rules or self._shadows.by_agent)

    def enforced(self, agent_id: str) -> Chapter:
        """Return the rules of an agent that refuse."""
        return self._enforced.chapter(agent_id)

    def shadows(self, agent_id: str) -> Chapter:
        """Return the rules of an agent that are in the shadow."""
        return self._shadows.chapter(agent_id)


@attrs.frozen
class _Part:
    """The chapters of one mode: those of agents that some rule names, and the one of all others."""

    by_agent: Mapping[str, Chapter]
    everywhere: Chapter

    @classmethod
    def of(cls, rules: Iterable[Rule], speech: Language) -> Self:
        pages = list(_pages(rules, speech))
        named = {agent for agents, _ in pages for agent in agents}
        return cls(
            {
                name: Chapter.of((page for agents, page in pages if not agents or name in agents), speech)
                for name in sorted(named)
            },
            Chapter.of((page for agents, page in pages if not agents), speech),
        )

    def chapter(self, agent_id: str) -> Chapter:
        return self.by_agent.get(agent_id, self.everywhere)


def _pages(rules: Iterable[Rule], speech: Language) -> Iterator[tuple[frozenset[str], _Page]]:
    """Yield the pages, each with its agents; none: everybody's."""
    groups: dict[frozenset[str], list[Rule]] = {}
    for rule in rules:
        groups.setdefault(frozenset(rule.settings.agents), []).append(rule)
    for agents, group in groups.items():
        for first in range(0, len(group), _TOGETHER):
            yield agents, _Page.of(tuple(group[first : first + _TOGETHER]), speech)


def _place(rule: Rule) -> int:
    return rule.place
