"""``limits``: how often a caller may call an agent, for how many tokens, and how many exchanges may be open at once.

Says what an exchange claims; counting is the state's business. Uses public names alone, as a third party would. ::

    [[plugins.limits.limit]]
    name = "department_day"
    rate = "10_000/day"
    per = ["department", "agent"]        # a counter for each combination; without it one for everybody
    match = { agent = ["support", "search"], client_address = "10.0.0.0/8" }

    [[plugins.limits.limit]]
    name = "tokens"
    tokens = "50_000/minute"             # of requests and answers, as `token_limit` of an agent
    per = ["principal"]

Tokens are claimed by an estimate: what the request asks for, where a plugin has read it, else what the agent's
exchanges have used lately. The real ones take its place when the exchange has ended, and what is too much is owed.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from aiogate import Agent, Call, Claim, Counted, Exchange, Gateway, Measure, Principal, Rate, State, hookimpl
from aiogate.builtin.estimates import Means, asked_of, estimate, measures_of
from aiogate.builtin.limit_report import LimitReport, limit_reports
from aiogate.builtin.limit_settings import OF_AGENTS, LimitsConfig, LimitSettings, MatchSettings
from aiogate.builtin.subjects import NOBODY, combinations, facts_of, fits
from aiogate.usage import ESTIMATE

__all__ = ["LimitSettings", "Limits", "LimitsConfig", "MatchSettings"]

_LEASE_SECONDS: Final = 60.0
"""The state renews it as long as the gateway lives."""
_KEPT: Final = 10_000
_NO_CALL: Final = Call()
_SUBJECTS: Final = ("principal", "department", "role", "agent", "key", "method", "tool")
_ANSWER_TOKENS: Final = 256
"""Of an answer by an agent of which nobody knows anything yet."""


def _own_limit(rate: Rate, agent: Agent) -> LimitSettings:
    """Return what an agent's ``rate_limit`` would be among the others."""
    return LimitSettings(name="own", rate=rate, per=("principal", "agent"), match=MatchSettings(agent=(agent.id,)))


def _never_binds(limit: LimitSettings, stricter: LimitSettings) -> bool:
    """Tell whether every exchange that one limit counts is counted by another that leaves less, for as long."""
    if limit is stricter or limit.rate is None or stricter.rate is None:
        return False
    if limit.concurrency is not None or limit.tokens is not None:
        return False
    counts_all = stricter.match in {limit.match, MatchSettings()} and set(stricter.per) <= set(limit.per)
    return counts_all and stricter.rate.amount < limit.rate.amount and stricter.rate.seconds >= limit.rate.seconds


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Limits:
    """Claims requests and tokens on sliding windows, and places among the exchanges that are open at once."""

    Config = LimitsConfig
    enforces = OF_AGENTS

    def __init__(self, config: LimitsConfig) -> None:
        """Keep the limits; claims that were made once are kept too, as they depend on who and where alone."""
        self._limits = config.limit
        self._by_address = any(limit.match.client_address or "client_address" in limit.per for limit in config.limit)
        self._by_call = any(limit.asks_for_calls for limit in config.limit)
        self._by_more = self._by_address or self._by_call
        self._kept: dict[tuple[int | str, ...], tuple[Principal, Agent, tuple[Claim, ...], bool]] = {}
        self._means: Means | None = None
        self._state: State | None = None

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
            for agent in agents.values():
                if agent.rate_limit is not None and _never_binds(_own_limit(agent.rate_limit, agent), limit):
                    message = f"is reached before the rate_limit of agent {agent.id!r}, which can never bind"
                    yield f"limit[{index}].rate", message

    @hookimpl
    def lifespan(self, gateway: Gateway) -> None:
        """Find out who knows what exchanges use, where tokens are limited."""
        self._state = gateway.state
        counts_tokens = any(limit.tokens is not None for limit in self._limits)
        if counts_tokens or any(agent.token_limit is not None for agent in gateway.agents.values()):
            measures = measures_of(gateway)
            self._means = None if measures is None else measures.means()

    async def limits(self) -> list[LimitReport]:
        """Return how the counters stand, of those who have called lately; raises ``StateError``."""
        if self._state is None:
            return []
        claims = [claim for _, _, kept, _ in self._kept.values() for claim in kept]
        return await limit_reports(claims, {limit.name: limit.per for limit in self._limits}, self._state)

    @hookimpl
    def claims(self, exchange: Exchange) -> Iterable[Claim]:
        """Return the claims of the agent's own limits and of every limit that matches."""
        agent = exchange.agent
        if agent is None:
            return ()
        principal = exchange.principal or NOBODY
        address, call = "", _NO_CALL
        place: tuple[int | str, ...] = (id(principal), agent.id)
        if self._by_more:
            address = exchange.client_address if self._by_address else ""
            call = exchange.call if self._by_call and exchange.call is not None else _NO_CALL
            place += address, call.method, call.tool
        kept = self._kept.get(place)
        if kept is not None and kept[1] is agent:
            return self._with_tokens(exchange, agent, kept[2]) if kept[3] else kept[2]
        claims = tuple(self._claims(agent, principal, address, call))
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        counts_tokens = any(claim.measure is Measure.TOKENS for claim in claims)
        # kept alive, so that no other principal gets its id
        self._kept[place] = principal, agent, claims, counts_tokens
        return self._with_tokens(exchange, agent, claims) if counts_tokens else claims

    def _with_tokens(self, exchange: Exchange, agent: Agent, claims: Iterable[Claim]) -> list[Claim]:
        """Return the claims with an estimate of the tokens that this exchange will use."""
        exchange[ESTIMATE] = True
        request = asked_of(exchange)
        of_request = estimate(exchange, request, 0).tokens
        mean = None if self._means is None else self._means.tokens(agent.id)
        if request.output_tokens is not None or mean is None:
            tokens = of_request + (request.output_tokens or _ANSWER_TOKENS)
        else:
            tokens = max(1, mean, of_request)
        return [
            attrs.evolve(claim, amount=min(tokens, claim.limit)) if claim.measure is Measure.TOKENS else claim
            for claim in claims
        ]

    def _claims(self, agent: Agent, principal: Principal, address: str, call: Call) -> Iterator[Claim]:
        yield from _window("rate_limit", ("agent", principal.id, agent.id), agent.rate_limit)
        yield from _tokens("token_limit", ("agent", principal.id, agent.id), agent.token_limit)
        yield from _lease("concurrency", ("agent", principal.id, agent.id), agent.concurrency)
        client = _parsed(address)
        facts = facts_of(principal, agent)
        facts["client_address"] = (str(client or address),)
        facts |= {name: (said,) for name, said in (("method", call.method), ("tool", call.tool)) if said}
        for limit in self._limits:
            if _is_from(limit.match, client) and fits(limit.match, _SUBJECTS, facts):
                for values in combinations(limit.per, limit.match.role, facts):
                    yield from _of_limit(limit, ("limit", limit.name, *values))


def _of_limit(limit: LimitSettings, counted: tuple[str | None, ...]) -> Iterator[Claim]:
    for claim in (
        *_window(limit.name, counted, limit.rate),
        *_tokens(limit.tokens_name, counted, limit.tokens),
        *_lease(limit.lease_name, counted, limit.concurrency),
    ):
        yield attrs.evolve(claim, on_state_error=limit.on_state_error)


# A counter is called by the repr of a tuple: it keeps ("a:b", "c") and ("a", "b:c") apart, whatever a principal is
# called. The amount is no part of it, so that a reload with another one forgets nothing.
def _window(name: str, counted: tuple[str | None, ...], rate: Rate | None) -> Iterator[Claim]:
    if rate is not None:
        yield Claim(name, f"window:{rate.seconds!r}:{counted!r}", Counted.WINDOW, rate.amount, rate.seconds)


def _tokens(name: str, counted: tuple[str | None, ...], rate: Rate | None) -> Iterator[Claim]:
    if rate is not None:
        counter = f"tokens:{rate.seconds!r}:{counted!r}"
        yield Claim(name, counter, Counted.WINDOW, rate.amount, rate.seconds, measure=Measure.TOKENS)


def _lease(name: str, counted: tuple[str | None, ...], concurrency: int | None) -> Iterator[Claim]:
    if concurrency is not None:
        yield Claim(name, f"lease:{counted!r}", Counted.LEASE, concurrency, _LEASE_SECONDS)


def _is_from(match: MatchSettings, client: Address | None) -> bool:
    """Tell whether a caller is in one of the networks, if any are given; an unreadable address is in none."""
    networks = match.client_address
    return not networks or (client is not None and any(client in ipaddress.ip_network(network) for network in networks))


def _parsed(address: str) -> Address | None:
    """Return the address; one of IPv4 that a socket of IPv6 has written as its own is one of IPv4."""
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(client, "ipv4_mapped", None) or client
