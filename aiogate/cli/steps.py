"""Asks the plugins about an exchange one by one, and writes down what each of them says; nothing is sent or counted.

For ``aiogate explain``. Goes the way of ``server/admit.py``: what a request meets first, stands first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from aiogate.claims import Claim, Counted, Measure
from aiogate.errors import PluginError, Refusal, Refused, refusal
from aiogate.exchange import Exchange, Principal, Reply
from aiogate.hookspecs import Finding
from aiogate.pipeline.compile import Step as Hook
from aiogate.pipeline.ranking import ranking_of
from aiogate.pipeline.run import Pipeline
from aiogate.server.fallback import ended_by_name
from aiogate.server.listing import listed

__all__ = ["Place", "Step", "Steps", "who", "why"]

_PASSES: Final = "passes"
_NANO: Final = 10**9

Ended = Refusal | Reply | None


@attrs.frozen(kw_only=True)
class Place:
    """One candidate's place in a ranking; see ``Ranked``."""

    agent: str
    reason: str
    figures: Mapping[str, object] = attrs.field(hash=False)


@attrs.frozen(kw_only=True)
class Step:
    """What one plugin says in one hook; ``ends`` is what it ends the exchange with.

    ``ranking`` are the candidates, best first, where there are several.
    """

    plugin: str
    hook: str
    verdict: str
    findings: tuple[Finding, ...] = ()
    ranking: tuple[Place, ...] = ()
    ends: Ended = None


@attrs.define
class Steps:
    """One exchange's way through the pipeline.

    Args:
        taken_as: who calls; then nobody is asked who it is.
        unknown: names of what nobody knows of the exchange any more; see ``Finding``.
        taken: the steps so far.
    """

    _pipeline: Pipeline
    _exchange: Exchange
    taken_as: Principal | None = None
    unknown: frozenset[str] = frozenset()
    taken: list[Step] = attrs.field(factory=list)

    async def walk(self) -> Ended:
        """Go as far as the exchange would, up to its agent, and return what ended it; None: nothing did."""
        exchange, ended = self._exchange, None
        named = exchange.agent
        for hook in self._pipeline.stages.pre_request:
            self.taken.append(await self._asked(hook))
            if (ended := self.taken[-1].ends) is not None:
                break
        if named is not None and named.fallback and (final := ended_by_name(exchange, named, ended)) is not None:
            return final
        if ended is not None:
            return ended
        if exchange.principal is None:
            return refusal("unauthenticated", "no plugin has authenticated the caller")
        if exchange.unavailable is not None:
            return listed(exchange)
        if exchange.capabilities:
            self._rank()
        elif named is not None:
            exchange.candidates = exchange.candidates[:1]  # the others are there to take its place
        return await self._route() or self._claim()

    async def _asked(self, hook: Hook) -> Step:
        name = hook[0]
        plugin = self._pipeline.plugins[name]
        if self.taken_as is not None and "principal" in getattr(plugin, "enforces", ()):
            self._exchange.principal = self.taken_as
            return Step(plugin=name, hook="pre_request", verdict=f"not asked: it is {who(self.taken_as)}")
        ask: Callable[..., Iterable[Finding]] | None = getattr(plugin, "explain", None)
        if ask is not None and self.unknown:
            return self._judged(name, tuple(ask(self._exchange, self.unknown)))
        candidates = tuple(self._exchange.candidates)
        step = await self._called(hook)
        # Asked behind the call, when what the plugin reads has been read, and of the agents that it was asked about.
        return step if ask is None else attrs.evolve(step, findings=self._findings(ask, candidates))

    def _findings(self, ask: Callable[..., Iterable[Finding]], candidates: Iterable[Any]) -> tuple[Finding, ...]:
        left, self._exchange.candidates = self._exchange.candidates, list(candidates)
        try:
            return tuple(ask(self._exchange, self.unknown))
        finally:
            self._exchange.candidates = left

    async def _called(self, hook: Hook) -> Step:
        name, call, awaits = hook
        exchange = self._exchange
        candidates, headers = list(exchange.candidates), exchange.request_headers.copy()
        principal, known = exchange.principal, len(exchange.ruled_out)
        try:
            ended: Ended = await call(exchange) if awaits else call(exchange)
        except Refused as error:
            ended = error.refusal
        except Exception as error:  # noqa: BLE001 - the border to plugins: one that raises refuses the exchange
            ended = refusal("plugin_failed", f"plugin {name!r} failed: {type(error).__name__}: {error}")
        gone = [agent for agent in candidates if agent not in exchange.candidates]
        reasons = zip(gone, exchange.ruled_out[known:], strict=False)
        said = [f"rules out {agent.id}: {why(reason)}" for agent, reason in reasons]
        if exchange.principal is not None and exchange.principal is not principal:
            said.append(f"authenticates {who(exchange.principal)}")
        if exchange.request_headers != headers:
            said.append("edits the request's headers")
        said.extend(_ending(ended))
        if ended is None and not exchange.candidates:
            ended = exchange.softest_refusal
        return Step(plugin=name, hook="pre_request", verdict="; ".join(said) or _PASSES, ends=ended)

    def _judged(self, name: str, findings: tuple[Finding, ...]) -> Step:
        """Return what the rules say of an exchange of which some things are not known any more."""
        certain = [finding for finding in findings if finding.verdict == "denies"]
        unsure = [finding for finding in findings if finding.verdict == "unknown"]
        if certain and not unsure:
            ended = refusal("policy_denied", f"the rule {certain[0].rule!r} denies it", rule=certain[0].rule)
            return Step(plugin=name, hook="pre_request", verdict=why(ended), findings=findings, ends=ended)
        missing = sorted({one for finding in unsure for one in finding.missing} & self.unknown)
        verdict = f"cannot be decided without {', '.join(missing)}" if missing else _PASSES
        return Step(plugin=name, hook="pre_request", verdict=verdict, findings=findings)

    def _rank(self) -> None:
        """Show the candidates in their order; ``_route`` then asks for the first of them, as the gateway does."""
        try:
            plugin, ranking = ranking_of(self._exchange, self._pipeline)
        except PluginError as error:
            self._failed(error.plugin, "ranking", error.__cause__ or error)
            return
        places = tuple(Place(agent=one.agent.id, reason=one.reason, figures=one.figures) for one in ranking)
        verdict = f"ranks {', '.join(place.agent for place in places)}"
        self.taken.append(Step(plugin=plugin or "(config)", hook="ranking", verdict=verdict, ranking=places))

    async def _route(self) -> Ended:
        exchange = self._exchange
        exchange.agent = None
        for name, call, awaits in self._pipeline.stages.route:
            try:
                agent = await call(exchange) if awaits else call(exchange)
            except Exception as error:  # noqa: BLE001 - the border to plugins
                return self._failed(name, "route", error)
            self.taken.append(Step(plugin=name, hook="route", verdict=agent.id if agent is not None else "not mine"))
            if agent is not None:
                exchange.agent = agent
                return None
        exchange.agent = exchange.candidates[0]
        return None

    def _claim(self) -> Ended:
        for name, call, _ in self._pipeline.stages.claims:
            try:
                claims = list(call(self._exchange) or ())
            except Refused as refused:
                verdict = f"refuses: {why(refused.refusal)}"
                self.taken.append(Step(plugin=name, hook="claims", verdict=verdict, ends=refused.refusal))
                return refused.refusal
            except Exception as error:  # noqa: BLE001 - the border to plugins
                return self._failed(name, "claims", error)
            if claims:
                verdict = ", ".join(map(_claimed, claims))
                self.taken.append(Step(plugin=name, hook="claims", verdict=f"{verdict}; counters are not asked"))
        return None

    def _failed(self, name: str, hook: str, error: BaseException) -> Refusal:
        ended = refusal("plugin_failed", f"plugin {name!r} failed: {type(error).__name__}: {error}")
        self.taken.append(Step(plugin=name, hook=hook, verdict=why(ended), ends=ended))
        return ended


def who(principal: Principal) -> str:
    """Return a principal with what the config says of it."""
    facts = [
        f"roles {', '.join(sorted(principal.roles))}" if principal.roles else "no roles",
        f"department {principal.department}" if principal.department else "",
        f"key {principal.key_id}" if principal.key_id else "",
    ]
    return f"{principal.id} ({'; '.join(fact for fact in facts if fact)})"


def why(refused: Refusal) -> str:
    """Return a refusal in one line."""
    rule = f" (rule {refused.rule})" if refused.rule else ""
    return f"{refused.status} {refused.code}{rule}: {refused.detail}"


def _ending(ended: Ended) -> Iterator[str]:
    if isinstance(ended, Refusal):
        yield f"refuses: {why(ended)}"
    elif isinstance(ended, Reply):
        yield f"answers {ended.status} itself"


def _claimed(claim: Claim) -> str:
    if claim.period is not None:
        when = f"until {datetime.fromtimestamp(claim.period.ends, UTC).isoformat()}"
    else:
        when = "at once" if claim.kind is Counted.LEASE else f"in {claim.seconds:g} s"
    if claim.measure is Measure.NANOUSD:
        return f"claims {claim.amount / _NANO:g} of {claim.limit / _NANO:g} usd {when} ({claim.name})"
    unit = "" if claim.measure is Measure.REQUESTS else f"{claim.measure} "
    return f"claims {claim.amount} of {claim.limit} {unit}{when} ({claim.name})"
