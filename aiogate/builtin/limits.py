"""``limits``: how often a caller may call an agent, and how many exchanges may be open at once.

Says what an exchange claims; counting is the state's business. Uses public names alone, as a third party would. ::

    [[plugins.limits.limit]]
    name = "department_day"
    rate = "10_000/day"
    per = ["department", "agent"]        # a counter for each combination; without it one for everybody
    match = { agent = ["support", "search"], client_address = "10.0.0.0/8" }
"""

import ipaddress
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import attrs

from aiogate import Agent, Claim, Counted, Exchange, Principal, Rate, hookimpl

__all__ = ["LimitSettings", "Limits", "LimitsConfig", "MatchSettings"]

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LEASE_SECONDS: Final = 3600.0
_KEPT: Final = 10_000
_OF_AGENTS: Final = frozenset({"rate_limit", "concurrency"})
_NOBODY: Final = Principal(id="")

Values = str | tuple[str, ...]
Subject = Literal["principal", "department", "role", "agent", "key", "client_address"]


def _is_name(_owner: object, _attribute: object, value: str) -> None:
    if not _NAME.fullmatch(value):
        msg = "expected 1 to 64 letters, digits, '_', '.' or '-'"
        raise ValueError(msg)


def _as_tuple(values: Values) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values


def _are_networks(_owner: object, _attribute: object, values: Values) -> None:
    for value in _as_tuple(values):
        ipaddress.ip_network(value)


@attrs.frozen(kw_only=True)
class MatchSettings:
    """Which exchanges a limit is for: all that is given must fit, and any one value of each fits.

    Args:
        principal: ids of principals.
        department: their departments.
        role: roles; a principal has one of them.
        agent: ids of agents.
        key: ids of API keys.
        client_address: addresses and networks such as ``10.0.0.0/8``.
    """

    principal: Values = attrs.field(default=(), converter=_as_tuple)
    department: Values = attrs.field(default=(), converter=_as_tuple)
    role: Values = attrs.field(default=(), converter=_as_tuple)
    agent: Values = attrs.field(default=(), converter=_as_tuple)
    key: Values = attrs.field(default=(), converter=_as_tuple)
    client_address: Values = attrs.field(default=(), converter=_as_tuple, validator=_are_networks)


@attrs.frozen(kw_only=True)
class LimitSettings:
    """``[[plugins.limits.limit]]``: ``rate`` and ``concurrency`` for each combination of ``per``.

    Args:
        name: of the claim on ``rate``, or on ``concurrency`` where that is all; where there are both, the claim on
            ``concurrency`` is called ``<name>.concurrency``.
        rate: requests in any interval.
        concurrency: exchanges open at once.
        per: what has a counter of its own; with ``role`` an exchange counts once for each of the principal's roles, or
            for those of them that ``match`` names.
        match: which exchanges the limit is for; without it all of them.
    """

    name: str = attrs.field(validator=_is_name)
    rate: Rate | None = None
    concurrency: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    per: tuple[Subject, ...] = ()
    match: MatchSettings = MatchSettings()

    def __attrs_post_init__(self) -> None:
        if self.rate is None and self.concurrency is None:
            msg = "expected a rate, a concurrency or both"
            raise ValueError(msg)

    @property
    def lease_name(self) -> str:
        """What the claim on ``concurrency`` is called."""
        return self.name if self.rate is None else f"{self.name}.concurrency"

    @property
    def claim_names(self) -> set[str]:
        """What the limit's claims are called."""
        return {self.name} if self.concurrency is None else {self.name, self.lease_name}


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """``[plugins.limits]``.

    Args:
        limit: limits besides the agents' own.
    """

    limit: tuple[LimitSettings, ...] = attrs.field(default=())

    @limit.validator
    def _names_each_claim_once(self, _attribute: object, limits: tuple[LimitSettings, ...]) -> None:
        names = Counter(name for limit in limits for name in limit.claim_names)
        for name, times in names.items():
            if times > 1:
                msg = f"{name!r} is the name of two limits"
                raise ValueError(msg)
            if name in _OF_AGENTS:
                msg = f"{name!r} is the name of the agents' own limit; choose another one"
                raise ValueError(msg)


def _never_binds(limit: LimitSettings, stricter: LimitSettings) -> bool:
    """Tell whether every exchange that one limit counts is counted by another that leaves less, for as long."""
    if limit is stricter or limit.rate is None or stricter.rate is None or limit.concurrency is not None:
        return False
    same = limit.match == stricter.match and set(limit.per) == set(stricter.per)
    return same and stricter.rate.amount < limit.rate.amount and stricter.rate.seconds >= limit.rate.seconds


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Facts = dict[str, tuple[str | None, ...]]


class Limits:
    """Claims requests on sliding windows and places among the exchanges that are open at once."""

    Config = LimitsConfig
    enforces = _OF_AGENTS

    def __init__(self, config: LimitsConfig) -> None:
        """Keep the limits; claims that were made once are kept too, as they depend on who and where alone."""
        self._limits = config.limit
        self._by_address = any(limit.match.client_address or "client_address" in limit.per for limit in config.limit)
        self._kept: dict[tuple[int, str, str], tuple[Principal, Agent, tuple[Claim, ...]]] = {}

    def warnings(self, agents: Mapping[str, Agent]) -> Iterator[tuple[str, str]]:
        """Yield where in the config a limit can never bind, and why."""
        for index, limit in enumerate(self._limits):
            named = limit.match.agent
            if named and not any(name in agents for name in named):
                yield f"limit[{index}].match.agent", f"can never bind: there is no agent {' or '.join(named)}"
            for stricter in self._limits:
                if _never_binds(limit, stricter):
                    yield f"limit[{index}].rate", f"can never bind: limit {stricter.name!r} is reached before it"
                    break

    @hookimpl
    def claims(self, exchange: Exchange) -> Iterable[Claim]:
        """Return the claims of the agent's own limits and of every limit that matches."""
        agent = exchange.agent
        if agent is None:
            return ()
        principal = exchange.principal or _NOBODY
        address = exchange.client_address if self._by_address else ""
        place = (id(principal), agent.id, address)
        kept = self._kept.get(place)
        if kept is not None and kept[1] is agent:
            return kept[2]
        claims = tuple(self._claims(agent, principal, address))
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[place] = principal, agent, claims  # kept alive, so that no other principal gets its id
        return claims

    def _claims(self, agent: Agent, principal: Principal, address: str) -> Iterator[Claim]:
        yield from _window("rate_limit", ("agent", principal.id, agent.id), agent.rate_limit)
        yield from _lease("concurrency", ("agent", principal.id, agent.id), agent.concurrency)
        client = _parsed(address)
        facts: Facts = {
            "principal": (principal.id,),
            "department": (principal.department,),
            "role": tuple(sorted(principal.roles)),
            "agent": (agent.id,),
            "key": (principal.key_id,),
            "client_address": (str(client or address),),
        }
        for limit in self._limits:
            if _matches(limit.match, facts, client):
                for values in _combinations(limit, facts):
                    yield from _window(limit.name, ("limit", limit.name, *values), limit.rate)
                    yield from _lease(limit.lease_name, ("limit", limit.name, *values), limit.concurrency)


# A counter is called by the repr of a tuple: it keeps ("a:b", "c") and ("a", "b:c") apart, whatever a principal is
# called. The amount is no part of it, so that a reload with another one forgets nothing.
def _window(name: str, counted: tuple[str | None, ...], rate: Rate | None) -> Iterator[Claim]:
    if rate is not None:
        yield Claim(name, f"window:{rate.seconds!r}:{counted!r}", Counted.WINDOW, rate.amount, rate.seconds)


def _lease(name: str, counted: tuple[str | None, ...], concurrency: int | None) -> Iterator[Claim]:
    if concurrency is not None:
        yield Claim(name, f"lease:{counted!r}", Counted.LEASE, concurrency, _LEASE_SECONDS)


def _matches(match: MatchSettings, facts: Facts, client: Address | None) -> bool:
    """Tell whether all that is given fits; a caller whose address cannot be read is in no network."""
    if match.client_address and (client is None or not _is_within(client, match.client_address)):
        return False
    return all(
        not (wanted := getattr(match, name)) or not set(wanted).isdisjoint(facts[name])
        for name in ("principal", "department", "role", "agent", "key")
    )


def _is_within(client: Address, networks: Iterable[str]) -> bool:
    return any(client in ipaddress.ip_network(network) for network in networks)


def _combinations(limit: LimitSettings, facts: Facts) -> Iterator[tuple[str | None, ...]]:
    """Yield what a limit counts this exchange on: one combination, unless it counts per role and there are several."""
    roles = tuple(role for role in facts["role"] if not limit.match.role or role in limit.match.role)
    choices = [roles if name == "role" else facts[name] for name in limit.per]
    return itertools.product(*choices)


def _parsed(address: str) -> Address | None:
    """Return the address; one of IPv4 that a socket of IPv6 has written as its own is one of IPv4."""
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(client, "ipv4_mapped", None) or client
