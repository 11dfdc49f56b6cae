"""Rules that can never match, found without any exchange: conditions are asked on what the config alone says.

CEL decides what it can: ``agent.id == "x" && ...`` is false for another agent whatever stands behind it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from aiogate import Agent
from aiogate.builtin.policies.conditions import ConditionFailed
from aiogate.builtin.policies.facts import Facts
from aiogate.builtin.policies.rules import PoliciesConfig, RuleSettings, language

__all__ = ["never_matching"]

_NEVER: Final = "can never match: the condition is false for every agent of the rule, whatever the request is"


def never_matching(config: PoliciesConfig, agents: Mapping[str, Agent]) -> Iterator[tuple[str, str]]:
    """Yield where a rule stands that can never match, and why."""
    closed: dict[str, str] = {}
    for index, rule in enumerate(config.rule):
        concerned = [agent for agent in agents.values() if rule.is_for(agent.id)]
        answers = {agent.id: _constant(config, rule, agent) for agent in concerned}
        if concerned and all(answer is False for answer in answers.values()):
            yield f"rule[{index}].deny", _NEVER
        elif concerned and all(agent.id in closed for agent in concerned):
            names = ", ".join(sorted({repr(closed[agent.id]) for agent in concerned}))
            yield f"rule[{index}]", f"can never match: before it, {names} denies everything"
        if rule.enforced:
            for agent_id, answer in answers.items():
                if answer is True:
                    closed.setdefault(agent_id, rule.name)


def _constant(config: PoliciesConfig, rule: RuleSettings, agent: Agent) -> bool | None:
    """Return what a condition comes to for an agent whatever the request is; None when that depends."""
    condition = rule.condition(config.timezone)
    values = Facts.of_agent(agent, condition.names)
    try:
        return condition.holds(language(config.timezone).bind(values, condition.calls))
    except ConditionFailed:
        return None
