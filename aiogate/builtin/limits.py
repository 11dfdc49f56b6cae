"""``limits``: how often a caller may call an agent, and how many exchanges may be open at once.

Says what an exchange claims; counting is the state's business. Uses public names alone, as a third party would.
"""

import ipaddress
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import attrs

from aiogate import Claim, Counted, Exchange, Principal, Rate, hookimpl

__all__ = ["LimitSettings", "Limits", "LimitsConfig", "MatchSettings"]

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LEASE_SECONDS: Final = 3600.0
_KEPT: Final = 10_000

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
    """Which exchanges a limit is for: all that is given must fit, and any one value of each fits."""

    principal: Values = attrs.field(default=(), converter=_as_tuple)
    department: Values = attrs.field(default=(), converter=_as_tuple)
    role: Values = attrs.field(default=(), converter=_as_tuple)
    agent: Values = attrs.field(default=(), converter=_as_tuple)
    key: Values = attrs.field(default=(), converter=_as_tuple)
    client_address: Values = attrs.field(default=(), converter=_as_tuple, validator=_are_networks)


@attrs.frozen(kw_only=True)
class LimitSettings:
    """``[[plugins.limits.limit]]``: ``rate`` and ``concurrency`` for each combination of ``per``."""

    name: str = attrs.field(validator=_is_name)
    rate: Rate | None = None
    concurrency: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    per: tuple[Subject, ...] = ()
    match: MatchSettings = MatchSettings()

    def __attrs_post_init__(self) -> None:
        if self.rate is None and self.concurrency is None:
            msg = "expected a rate, a concurrency or both"
            raise ValueError(msg)


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """``[plugins.limits]``."""

    limit: tuple[LimitSettings, ...] = ()

    def __attrs_post_init__(self) -> None:
        names = [limit.name for limit in self.limit]
        for name in names:
            if names.count(name) > 1:
                msg = f"limit {name!r} is there twice"
                raise ValueError(msg)


Facts = dict[str, tuple[str, ...]]


class Limits:
    """Claims requests on sliding windows and places among the exchanges that are open at once."""

    Config = LimitsConfig
    enforces = frozenset({"rate_limit", "concurrency"})

    def __init__(self, config: LimitsConfig) -> None:
        """Keep the limits; claims that were made once are kept too, as they depend on who and where alone."""
        self._limits = config.limit
        self._by_address = any(limit.match.client_address or "client_address" in limit.per for limit in config.limit)
        self._kept: dict[tuple[Any, ...], tuple[Claim, ...]] = {}

    @hookimpl
    def claims(self, exchange: Exchange) -> Iterable[Claim]:
        """Return the claims of the agent's own limits and of every limit that matches."""
        agent, principal = exchange.agent, exchange.principal
        if agent is None or principal is None:
            return ()
        address = exchange.client_address if self._by_address else ""
        # a principal is made once per key, so that its identity is the cheapest name of who and how
        place = (principal.id, principal.key_id, principal.roles, principal.department, agent.id, address)
        kept = self._kept.get(place)
        if kept is None:
            if len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            kept = self._kept[place] = tuple(self._claims(exchange, principal, address))
        return kept

    def _claims(self, exchange: Exchange, principal: Principal, address: str) -> Iterator[Claim]:
        agent = exchange.agent
        assert agent is not None  # noqa: S101 - claims() has looked
        yield from _both("rate_limit", "concurrency", (principal.id, agent.id), agent.rate_limit, agent.concurrency)
        facts: Facts = {
            "principal": (principal.id,),
            "department": (principal.department or "",),
            "role": tuple(sorted(principal.roles)),
            "agent": (agent.id,),
            "key": (principal.key_id or "",),
            "client_address": (address,),
        }
        for limit in self._limits:
            if _matches(limit.match, facts):
                for subject in _subjects(limit, facts):
                    lease = limit.name if limit.rate is None else f"{limit.name}.concurrency"
                    yield from _both(limit.name, lease, (limit.name, *subject), limit.rate, limit.concurrency)


def _both(
    rate_name: str,
    lease_name: str,
    subject: tuple[str, ...],
    rate: Rate | None,
    concurrency: int | None,
) -> Iterator[Claim]:
    # repr keeps ("a:b", "c") and ("a", "b:c") apart whatever a principal is called
    if rate is not None:
        yield Claim(rate_name, f"window:{rate}:{subject!r}", Counted.WINDOW, rate.amount, rate.seconds)
    if concurrency is not None:
        yield Claim(lease_name, f"lease:{subject!r}", Counted.LEASE, concurrency, _LEASE_SECONDS)


def _matches(match: MatchSettings, facts: Facts) -> bool:
    for field in attrs.fields(MatchSettings):
        wanted: tuple[str, ...] = getattr(match, field.name)
        have = facts[field.name]
        if wanted and not (_is_within(have[0], wanted) if field.name == "client_address" else set(wanted) & set(have)):
            return False
    return True


def _subjects(limit: LimitSettings, facts: Facts) -> Iterator[tuple[str, ...]]:
    """Yield the counters that a limit has for this exchange: one, unless it counts per role and there are several."""
    roles = tuple(role for role in facts["role"] if not limit.match.role or role in limit.match.role)
    choices = [roles if name == "role" else facts[name] for name in limit.per]
    return itertools.product(*choices)


def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(client in ipaddress.ip_network(network) for network in networks)
