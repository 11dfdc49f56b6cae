"""``[[plugins.limits.limit]]``: the limits as the config writes them, checked as it is loaded.

For ``limits``. Knows nothing of exchanges.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal

import attrs

from aiogate import OnStateError, Rate
from aiogate.builtin.subjects import Match, Values, as_tuple, is_name

__all__ = ["OF_AGENTS", "OF_CALLS", "LimitSettings", "LimitsConfig", "MatchSettings"]

OF_AGENTS: Final = frozenset({"rate_limit", "token_limit", "concurrency"})

OF_CALLS: Final = frozenset({"method", "tool"})
"""What only the plugin ``calls`` can tell."""
Subject = Literal["principal", "department", "role", "agent", "key", "client_address", "method", "tool"]


def _are_networks(_owner: object, _attribute: object, values: Values) -> None:
    for value in as_tuple(values):
        ipaddress.ip_network(value)


@attrs.frozen(kw_only=True)
class MatchSettings(Match):
    """Which exchanges a limit is for: all that is given must fit, and any one value of each fits.

    Args:
        client_address: addresses and networks such as ``10.0.0.0/8``.
        method: of agents that speak A2A or MCP, ``SendMessage`` or ``tools/call``.
        tool: of agents that speak MCP.
    """

    client_address: Values = attrs.field(default=(), converter=as_tuple, validator=_are_networks)
    method: Values = attrs.field(default=(), converter=as_tuple)
    tool: Values = attrs.field(default=(), converter=as_tuple)


@attrs.frozen(kw_only=True)
class LimitSettings:
    """``[[plugins.limits.limit]]``: ``rate``, ``tokens`` and ``concurrency`` for each combination of ``per``.

    Args:
        name: of the claim on the first of ``rate``, ``tokens`` and ``concurrency`` that there is; the others are called
            ``<name>.tokens`` and ``<name>.concurrency``.
        rate: requests in any interval.
        tokens: tokens in any interval, of requests and answers.
        concurrency: exchanges open at once.
        per: what has a counter of its own; with ``role`` an exchange counts once for each of the principal's roles, or
            for those of them that ``match`` names.
        match: which exchanges the limit is for; without it all of them.
        on_state_error: what becomes of it while Redis is slow or gone; without it what ``[state] on_error`` says.
    """

    name: str = attrs.field(validator=is_name)
    rate: Rate | None = None
    tokens: Rate | None = None
    concurrency: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    per: tuple[Subject, ...] = ()
    match: MatchSettings = MatchSettings()
    on_state_error: OnStateError | None = None

    def __attrs_post_init__(self) -> None:
        if self.rate is None and self.tokens is None and self.concurrency is None:
            msg = "expected a rate, tokens, a concurrency or several of them"
            raise ValueError(msg)

    @property
    def asks_for_calls(self) -> bool:
        """Whether it depends on what is called."""
        return bool(self.match.method or self.match.tool or not OF_CALLS.isdisjoint(self.per))

    @property
    def tokens_name(self) -> str:
        """What the claim on ``tokens`` is called."""
        return self.name if self.rate is None else f"{self.name}.tokens"

    @property
    def lease_name(self) -> str:
        """What the claim on ``concurrency`` is called."""
        return self.name if self.rate is None and self.tokens is None else f"{self.name}.concurrency"

    @property
    def claim_names(self) -> set[str]:
        """What the limit's claims are called."""
        asked_for = (
            (self.name, self.rate),
            (self.tokens_name, self.tokens),
            (self.lease_name, self.concurrency),
        )
        return {name for name, what in asked_for if what is not None}


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """``[plugins.limits]``.

    Args:
        limit: limits besides the agents' own.
    """

    limit: tuple[LimitSettings, ...] = attrs.field(default=())

    def check_enforced(self, enforced: frozenset[str]) -> Iterator[tuple[str, str]]:
        """Yield the limits on tokens that nobody counts, and those on calls that nobody reads."""
        for index, limit in enumerate(self.limit):
            if limit.tokens is not None and "usage" not in enforced:
                yield f"limit[{index}].tokens", 'no plugin in pipeline.plugins finds out how many they are: add "cost"'
            if limit.asks_for_calls and "method_roles" not in enforced:
                yield f"limit[{index}]", 'no plugin in pipeline.plugins finds out what is called: add "calls" before it'

    @limit.validator
    def _names_each_claim_once(self, _attribute: object, limits: tuple[LimitSettings, ...]) -> None:
        names = Counter(name for limit in limits for name in limit.claim_names)
        for name, times in names.items():
            if times > 1:
                msg = f"{name!r} is the name of two limits"
                raise ValueError(msg)
            if name in OF_AGENTS:
                msg = f"{name!r} is the name of the agents' own limit; choose another one"
                raise ValueError(msg)
