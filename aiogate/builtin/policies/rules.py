"""``[plugins.policies]``: the rules as the config writes them, checked as it is loaded.

Knows nothing of exchanges; ``verdicts`` puts the rules in force.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, Literal

import attrs

from aiogate import Agent
from aiogate.builtin.policies.complaints import with_caret
from aiogate.builtin.policies.conditions import Condition, ConditionError, Language
from aiogate.builtin.policies.facts import BODY, NAMES
from aiogate.builtin.policies.functions import functions, literals
from aiogate.builtin.subjects import Values, as_tuple, is_name
from aiogate.builtin.zones import zone_of

__all__ = ["PoliciesConfig", "RuleSettings", "language", "zone_of"]

_MESSAGE_CHARACTERS: Final = 300
_BODY_BYTES: Final = 2**20


@functools.lru_cache(maxsize=8)
def language(timezone: str, *, with_body: bool = True) -> Language:
    """Return what conditions can say in a time zone; raises ``ConditionError`` when CEL is not installed."""
    names = {name: kind for name, kind in NAMES.items() if with_body or name != BODY}
    return Language(names, functions(zone_of(timezone)))


def _is_message(_owner: object, _attribute: object, value: str) -> None:
    if len(value) > _MESSAGE_CHARACTERS or not value.isprintable():
        msg = f"expected one line of at most {_MESSAGE_CHARACTERS} characters"
        raise ValueError(msg)


def _is_zone(_owner: object, _attribute: object, value: str) -> None:
    zone_of(value)


def _compiles(rule: "RuleSettings", _attribute: object, text: str) -> None:
    condition = language("UTC").compile(text)
    if BODY in condition.names and not rule.needs_body:  # or the word is part of a text
        language("UTC", with_body=False).compile(text)
    for mistake in literals(text):
        before = text[: mistake.offset]
        column = mistake.offset - (before.rfind("\n") + 1)
        raise ConditionError(with_caret(mistake.message, before.count("\n") + 1, column, mistake.length, text))


@attrs.frozen(kw_only=True)
class RuleSettings:
    """``[[plugins.policies.rule]]``: whom it refuses.

    A condition sees ``principal`` (id, roles, department, key_id, cost_center, attributes), ``agent`` (id,
    capabilities, tags, cost_center), ``client.ip``, ``request`` (method, path, headers, query, content_length), ``now``
    (time, hour, weekday from 1 for Monday), ``mcp`` (method, tool), ``a2a.method``, ``usage.budget_share`` and
    ``body``; and it may call ``ip_in(client.ip, ["10.0.0.0/8"])``, ``time_between(now.time, "22:00", "06:00")`` and
    ``glob(request.path, "/admin/**")``. One that fails, refuses: ask ``has(body.model) && ...`` where a member may be
    missing.

    Args:
        name: in refusals, in the journal, and in ``aiogate explain``.
        deny: the condition, in CEL; whoever it is true of is refused.
        agents: whose rule it is; none: of all agents.
        message: what the refused read.
        mode: ``shadow`` refuses nobody: what it would have refused is counted and journaled.
        needs_body: the request's body is read first, up to ``max_body``, and the condition may look at ``body``.
    """

    name: str = attrs.field(validator=is_name)
    deny: str = attrs.field(validator=_compiles)
    agents: Values = attrs.field(default=(), converter=as_tuple)
    message: str = attrs.field(default="", validator=_is_message)
    mode: Literal["enforce", "shadow"] = "enforce"
    needs_body: bool = False

    @property
    def enforced(self) -> bool:
        """Whether it refuses anybody."""
        return self.mode == "enforce"

    def condition(self, timezone: str) -> Condition:
        """Return what was compiled of ``deny``."""
        return language(timezone).compile(self.deny)

    def is_for(self, agent_id: str) -> bool:
        """Tell whether it is a rule of this agent."""
        return not self.agents or agent_id in self.agents


@attrs.frozen(kw_only=True)
class PoliciesConfig:
    """``[plugins.policies]``.

    Args:
        rule: the rules; the first that denies names the refusal.
        timezone: of ``now.hour``, ``now.weekday`` and ``time_between``.
        max_body: bytes of a body that rules with ``needs_body`` look at; a longer one is a 413.
    """

    rule: tuple[RuleSettings, ...] = attrs.field(default=())
    timezone: str = attrs.field(default="UTC", validator=_is_zone)
    max_body: int = attrs.field(default=_BODY_BYTES, validator=attrs.validators.ge(1))

    @rule.validator
    def _names_each_once(self, _attribute: object, rules: tuple[RuleSettings, ...]) -> None:
        for name, times in Counter(rule.name for rule in rules).items():
            if times > 1:
                msg = f"{name!r} is the name of {times} rules"
                raise ValueError(msg)

    def check_agents(self, agents: Mapping[str, Agent]) -> Iterator[tuple[str, str]]:
        """Yield where a rule names an agent that is not there, and what to say of it; see ``settings.plugins``."""
        for index, rule in enumerate(self.rule):
            for name in rule.agents:
                if name not in agents:
                    close = get_close_matches(name, agents, n=1)
                    hint = f"did you mean {close[0]!r}?" if close else f"the agents are: {', '.join(sorted(agents))}"
                    yield f"rule[{index}].agents", f"there is no agent {name!r}; {hint}"
