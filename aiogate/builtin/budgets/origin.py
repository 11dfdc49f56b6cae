"""Where budgets begin when the gateway starts: at what the journal says was spent in their periods.

For the plugin. Counters that are known already, as after a reload, stay as they are; those that gateways share are made
up for what they have lost: an exchange whose gateway was killed between its record and its settlement, and all that a
Redis has forgotten which nobody alive has seen.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from aiogate import AiogateError, Claim, Gateway, Measure, Principal, Spent
from aiogate.builtin.budgets.accounts import Account, Accounts
from aiogate.builtin.estimates import Means
from aiogate.builtin.subjects import Facts

__all__ = ["keep_up", "resume"]

_LOOK_SECONDS: Final = 1.0
_SETTLED_SECONDS: Final = 2.0
"""So long after its record is known here each exchange that can be settled is."""
_AGAIN_SECONDS: Final = (0.0, 3.0, 10.0, 30.0)
"""At once, and when journals that were behind are not any more."""
_log: Final = logging.getLogger(__name__)
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


async def keep_up(gateway: Gateway, accounts: Accounts) -> None:
    """Make up for what shared counters have lost, when the gateway has started and whenever they may have; for ever.

    What is known to be spent is read first, and told a little later: an exchange that is about to be settled then has
    been, and does not count twice.
    """
    seen = -1
    while True:
        if seen == gateway.state.losses:
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        seen = gateway.state.losses
        for wait_seconds in _AGAIN_SECONDS:
            await asyncio.sleep(wait_seconds)
            try:
                await _make_up(gateway, accounts)
            except AiogateError as error:
                _log.error("budgets are not made up for what they may have lost: %s", error)
            if seen != gateway.state.losses:
                break


async def _make_up(gateway: Gateway, accounts: Accounts) -> None:
    now = gateway.clock.wall()
    roles = _roles(gateway.plugins.values())
    claims = list[Claim]()
    for starts in {accounts.period(budget, now).starts for budget in accounts.config.budget}:
        claims += _claims(accounts, await asyncio.to_thread(_all, gateway, starts), roles, starts, now)
    await asyncio.sleep(_SETTLED_SECONDS)
    await gateway.state.make_up(claims)


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
