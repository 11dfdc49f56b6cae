"""``policies``: declarative rules that rule agents out, by conditions in CEL (Common Expression Language).

Uses public names alone, as a third party would. ::

    [[plugins.policies.rule]]
    name = "contractors-stay-out"
    agents = ["analytics"]                        # without it: of all agents
    deny = '"contractor" in principal.roles'      # see ``facts`` and ``functions`` for what a condition can say
    message = "Contractors may not use the analytics agent."
    mode = "shadow"                               # counts and journals, and refuses nobody; else "enforce"
"""

from aiogate.builtin.policies.plugin import Policies
from aiogate.builtin.policies.rules import PoliciesConfig, RuleSettings

__all__ = ["Policies", "PoliciesConfig", "RuleSettings"]
