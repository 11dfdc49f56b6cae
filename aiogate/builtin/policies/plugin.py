"""The plugin: asks the rules about each candidate, and those in the shadow about the agent that serves.

A rule in the shadow is asked when the agent is known, so that what is journaled is what would have changed.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from aiogate import Agent, Claim, Exchange, Finding, Refusal, hookimpl, refusal
from aiogate.builtin.policies.conditions import Bound
from aiogate.builtin.policies.facts import CALLS, TOLD, Facts
from aiogate.builtin.policies.reach import never_matching
from aiogate.builtin.policies.replay import Replayed, replayed
from aiogate.builtin.policies.rules import PoliciesConfig, zone_of
from aiogate.builtin.policies.verdicts import Chapter, Rule, Rulebook, Verdict

__all__ = ["Policies"]

_log: Final = logging.getLogger(__name__)


class Policies:
    """Rules out the candidates that a rule denies."""

    Config = PoliciesConfig

    def __init__(self, config: PoliciesConfig) -> None:
        """Put the rules in force."""
        self._config = config
        self._book = Rulebook.of(config)
        self._has_shadows = self._book is not None and self._book.has_shadows
        self._facts = Facts(zone_of(config.timezone))

    @hookimpl
    async def pre_request(self, exchange: Exchange) -> None:
        """Rule out each candidate that a rule denies; read the body first where a rule needs it."""
        book = self._book
        if book is None:
            return
        if any(_needs_body(book, agent) for agent in exchange.candidates):
            await exchange.read_body(self._config.max_body)
        if any(agent.protocol is not None and _needs_call(book, agent) for agent in exchange.candidates):
            await _read_call(exchange)
        shared: dict[str, object] = {}
        for agent in tuple(exchange.candidates):
            chapter = book.enforced(agent.id)
            if verdict := next(self._verdicts(exchange, agent, chapter, shared), None):
                exchange.rule_out(agent, _refusal(verdict))

    @hookimpl
    def claims(self, exchange: Exchange) -> Iterable[Claim]:
        """Take note of the rules in the shadow that would have refused the agent; nothing is claimed."""
        if self._has_shadows and self._book is not None and exchange.agent is not None:
            chapter = self._book.shadows(exchange.agent.id)
            exchange.shadow_rules = tuple(
                verdict.rule.settings.name for verdict in self._verdicts(exchange, exchange.agent, chapter, {})
            )
        return ()

    def explain(self, exchange: Exchange, unknown: frozenset[str] = frozenset()) -> Iterator[Finding]:
        """Yield what each rule makes of each candidate, for ``aiogate explain``.

        ``unknown`` are variables of conditions whose values nobody knows, as of an exchange out of the journal.
        """
        book = self._book
        if book is None:
            return
        for agent in exchange.candidates:
            for chapter in (book.enforced(agent.id), book.shadows(agent.id)):
                values = self._values(exchange, agent, chapter.names - unknown, {})
                bound = chapter.bind(values)
                for rule in chapter.rules:
                    yield _finding(rule, agent, bound, values, unknown)

    def warnings(self, agents: Mapping[str, Agent]) -> Iterator[tuple[str, str]]:
        """Yield the rules that can never match, for ``aiogate check``: where they stand, and why."""
        return never_matching(self._config, agents)

    def asks(self) -> Iterator[tuple[str, str]]:
        """Yield what only another plugin can tell, and where it is asked for: for ``aiogate check``; see ``tells``."""
        for index, rule in enumerate(self._config.rule):
            for name in sorted(rule.condition(self._config.timezone).names & TOLD):
                yield f"rule[{index}].deny", name

    def policies(self) -> Iterator[dict[str, object]]:
        """Yield the rules in their order, for operators."""
        for rule in self._config.rule:
            yield {
                "name": rule.name,
                "deny": rule.deny,
                "agents": list(rule.agents),
                "enforced": rule.enforced,
                "message": rule.message or None,
            }

    def names(self, agent: Agent) -> frozenset[str]:
        """Return the variables that the enforced rules of an agent mention: what its verdicts depend on.

        ``now.minute`` stands for ``now.time`` where only ``time_between`` asks for it.
        """
        return frozenset() if self._book is None else self._book.enforced(agent.id).dependencies

    def replay(self, exchange: Exchange, agent: Agent, unknown: frozenset[str]) -> Replayed:
        """Return what the enforced rules say of an exchange that is over; see ``explain`` for ``unknown``."""
        if self._book is None:
            return Replayed()
        chapter = self._book.enforced(agent.id)
        values = self._values(exchange, agent, chapter.names - unknown, {})
        return replayed(chapter, chapter.bind(values), unknown)

    def _verdicts(
        self, exchange: Exchange, agent: Agent, chapter: Chapter, shared: dict[str, object]
    ) -> Iterator[Verdict]:
        """Yield the verdicts of a chapter's rules; ``shared`` keeps what is the same for the next agent."""
        if not chapter.rules:
            return
        bound = chapter.bind(self._values(exchange, agent, chapter.names, shared))
        for verdict in chapter.verdicts(bound):
            if verdict.failure is not None:
                what = (exchange.id, verdict.rule.settings.name, agent.id, verdict.failure)
                _log.warning("exchange %s: rule %r failed for agent %r, which denies: %s", *what)
            yield verdict

    def _values(
        self, exchange: Exchange, agent: Agent, names: frozenset[str], shared: dict[str, object]
    ) -> dict[str, object]:
        shared.update(self._facts.of_exchange(exchange, names.difference(shared)))
        return shared | self._facts.of_agent(agent, names)


def _needs_body(book: Rulebook, agent: Agent) -> bool:
    return book.enforced(agent.id).needs_body or book.shadows(agent.id).needs_body


def _needs_call(book: Rulebook, agent: Agent) -> bool:
    return not CALLS.isdisjoint(book.enforced(agent.id).names | book.shadows(agent.id).names)


async def _read_call(exchange: Exchange) -> None:
    """Read what is called, in the protocol that all candidates have which have one; in two it could be two things."""
    protocols = {agent.protocol for agent in exchange.candidates if agent.protocol is not None}
    if exchange.call is None and len(protocols) == 1:
        exchange.call = await exchange.read_call(protocols.pop())


def _refusal(verdict: Verdict) -> Refusal:
    rule = verdict.rule.settings
    if verdict.failure is None:
        return refusal("policy_denied", rule.message or f"the rule {rule.name!r} denies it", rule=rule.name)
    detail = f"the rule {rule.name!r} could not be decided, which denies; the gateway's log says why"
    return refusal("policy_failed", detail, rule=rule.name)


def _finding(rule: Rule, agent: Agent, bound: Bound, values: Mapping[str, object], unknown: frozenset[str]) -> Finding:
    verdict = rule.verdict(bound)
    names = rule.condition.names
    said: Literal["passes", "denies", "would deny", "unknown"] = "passes"
    if verdict is not None and verdict.failure is not None and names & unknown:
        said = "unknown"
    elif verdict is not None:
        said = "denies" if rule.settings.enforced else "would deny"
    return Finding(
        rule=rule.settings.name,
        agent=agent.id,
        verdict=said,
        condition=rule.settings.deny,
        values={name: values[name] for name in sorted(names) if name in values},
        missing=tuple(sorted(names - values.keys())),
        failure=verdict.failure if verdict is not None else None,
    )
