"""Where budgets begin when the gateway starts: at what the journal says was spent in their periods.

For the plugin. Counters that are known already, as after a reload, stay as they are.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from aiogate import Claim, Gateway, Measure, Principal, Spent
from aiogate.builtin.budgets.accounts import Account, Accounts
from aiogate.builtin.estimates import Means
from aiogate.builtin.subjects import Facts

__all__ = ["resume"]

_NO_ROLES: Final[frozenset[str]] = frozenset()


async def resume(gateway: Gateway, accounts: Accounts, means: Means | None) -> None:
    """Let the counters of every budget's present period begin at what was spent; raises ``AiogateError``.

    What the agents' exchanges have used lately is learnt on the way.
    """
    now = gateway.clock.wall()
    periods = {accounts.period(budget, now) for budget in accounts.config.budget}
    roles = _roles(gateway.plugins.values())
    for starts in sorted({period.starts for period in periods}, reverse=True):  # the latest first: means are of late
        spent = await asyncio.to_thread(_all, gateway, starts)
        await gateway.state.resume(_claims(accounts, spent, roles, starts, now))
        if means is not None:
            _teach(means, spent)


def _all(gateway: Gateway, since: float) -> list[Spent]:
    return list(gateway.spent(since))


def _claims(
    accounts: Accounts, spent: Iterable[Spent], roles: Mapping[str, frozenset[str]], starts: float, now: float
) -> list[Claim]:
    """Return what was spent on each account of the periods that have begun then."""
    begun = [budget for budget in accounts.config.budget if accounts.period(budget, now).starts == starts]
    sums, opened = Counter[str](), dict[str, Account]()
    for one in spent:
        facts = _facts(one, roles)
        amounts = {Measure.NANOUSD: one.cost_nanousd, Measure.TOKENS: one.tokens}
        for budget in begun:
            for values in accounts.charged(budget, facts):
                for measure in budget.limits:
                    if amounts[measure]:
                        account = accounts.account(budget, measure, values, accounts.period(budget, now))
                        opened[account.claim.counter] = account
                        sums[account.claim.counter] += amounts[measure]
    return [account.claimed(sums[counter]) for counter, account in opened.items()]


def _teach(means: Means, spent: Iterable[Spent]) -> None:
    sums: dict[str, list[int]] = {}
    for one in spent:
        if one.agent is not None:
            of_agent = sums.setdefault(one.agent, [0, 0, 0])
            for index, figure in enumerate((one.calls, one.tokens, one.cost_nanousd)):
                of_agent[index] += figure
    for agent_id, (calls, tokens, nanousd) in sums.items():
        means.begin(agent_id, calls, tokens, nanousd)


def _facts(one: Spent, roles: Mapping[str, frozenset[str]]) -> Facts:
    known = roles.get(f"key {one.key_id}", roles.get(f"principal {one.principal}", _NO_ROLES))
    return {
        "principal": (one.principal,),
        "department": (one.department,),
        "role": tuple(sorted(known)),
        "agent": (one.agent,),
        "cost_center": (one.cost_center,),
        "key": (one.key_id,),
    }


def _roles(plugins: Iterable[object]) -> dict[str, frozenset[str]]:
    """Return the roles of the principals that the config knows, by key and by id."""
    roles = dict[str, frozenset[str]]()
    for plugin in plugins:
        principals: Iterable[Principal] = plugin.principals() if hasattr(plugin, "principals") else ()
        for principal in principals:
            roles.setdefault(f"principal {principal.id}", principal.roles)
            if principal.key_id is not None:
                roles[f"key {principal.key_id}"] = principal.roles
    return roles
