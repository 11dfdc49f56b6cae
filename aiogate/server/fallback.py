"""Which agent serves in place of one that cannot: at once where it is out of service, later where it has failed.

For exchanges whose agent has a ``fallback``. Only agents that the plugins have left as candidates serve, each on its
own claims; what the one before had taken is given back. Knows nothing of sockets.
"""

import logging
from collections.abc import Iterator
from typing import Final

import attrs

from aiogate.agent import Agent
from aiogate.errors import PluginError, Refusal, Refused, StateError, refusal
from aiogate.exchange import Exchange, Reply
from aiogate.proxy.body import too_large
from aiogate.server.choose import bind_body
from aiogate.server.claim import STATE_UNAVAILABLE, take_claims
from aiogate.server.crowd import Crowd
from aiogate.server.generation import Generation
from aiogate.server.halts import Halts
from aiogate.server.open import with_stand_ins
from aiogate.state import State

__all__ = ["Relief", "admit_any", "ended_by_name"]

_log: Final = logging.getLogger(__name__)
_UNAVAILABLE: Final = 503


async def admit_any(  # noqa: PLR0913, PLR0917 - as ``choose``
    exchange: Exchange, named: Agent, ended: Refusal | Reply | None, generation: Generation, state: State, crowd: Crowd
) -> Agent | Refusal | Reply:
    """Return the agent that the path names if it can serve, else one in its place; or what ends the exchange.

    Only an agent that is out of service (503) has its place taken: whoever may not call it, or not so often, may not
    call another one by its name either. ``ended`` is what the plugins have said.
    """
    final = ended_by_name(exchange, named, ended)
    if final is not None:
        return final
    if exchange.principal is None:
        return refusal("unauthenticated", "no plugin has authenticated the caller")
    why = _lost(exchange, named)
    crowd.enter(exchange, generation.settings.server.max_exchanges_per_principal)
    for agent in tuple(exchange.candidates):
        admitted = await _admitted(exchange, agent, generation, state)
        if isinstance(admitted, Agent) or admitted is STATE_UNAVAILABLE:
            return admitted
        if agent is named:
            why = admitted
            if why.status != _UNAVAILABLE:
                return why
    exchange.agent, exchange.quotas = named, ()
    return why or refusal("agent_unavailable", f"agent {named.id!r} is not called now")


def ended_by_name(exchange: Exchange, named: Agent, ended: Refusal | Reply | None) -> Refusal | Reply | None:
    """Return what the plugins have ended an exchange with that names an agent; None: it, or another one, may serve."""
    if ended is not None and (exchange.candidates or isinstance(ended, Reply)):
        return ended
    why = _lost(exchange, named) or ended
    return why if why is not None and why.status != _UNAVAILABLE else None


def _lost(exchange: Exchange, named: Agent) -> Refusal | None:
    """Return why the agent that the path names was ruled out, if it was."""
    return next((why for agent, why in exchange.lost if agent is named), None)


async def _admitted(exchange: Exchange, agent: Agent, generation: Generation, state: State) -> Agent | Refusal:
    """Return the agent once its claims are taken, or why they are not."""
    bound = generation.settings.server.max_body if agent.max_body is None else agent.max_body
    if exchange.content_length is not None and exchange.content_length > bound:
        return too_large(bound)
    exchange.agent, exchange.quotas = agent, ()
    others, exchange.candidates = exchange.candidates, [agent]
    try:
        exchange.agent = await generation.pipeline.route(exchange)
        refused = await take_claims(exchange, generation, state)
    except Refused as error:
        refused = error.refusal
    finally:
        exchange.candidates = others
    if refused is None:
        bind_body(exchange, agent, generation)
    return refused or agent


@attrs.frozen
class Relief:
    """Finds who serves an exchange whose agent has failed."""

    exchange: Exchange
    generation: Generation
    state: State
    halts: Halts

    async def of(self, failed: Agent) -> Agent | None:
        """Return the next agent, its claims taken and those of ``failed`` given back; None: there is none."""
        exchange = self.exchange
        waiting = tuple(self._waiting(failed))
        if not waiting:
            return None
        quotas = exchange.quotas
        try:
            await self._give_back()
            for agent in waiting:
                if self.halts.in_force and self.halts.why_not(exchange, agent.id) is not None:
                    continue
                if isinstance(await _admitted(exchange, agent, self.generation, self.state), Agent):
                    return agent
        except PluginError as error:
            _log.error("exchange %s: nobody stands in: %s", exchange.id, error, exc_info=error.__cause__)
        exchange.agent, exchange.quotas = failed, quotas
        return None

    def _waiting(self, failed: Agent) -> Iterator[Agent]:
        """Yield the candidates that may serve in its place and were not called yet."""
        called = {attempt.agent.id for attempt in self.exchange.attempts}
        for agent in with_stand_ins(failed, self.generation.agents):
            if agent.id not in called and agent in self.exchange.candidates:
                yield agent

    async def _give_back(self) -> None:
        exchange, grant = self.exchange, self.exchange.grant
        if grant is None:
            return
        exchange.grant = None
        try:
            await self.state.settle(grant, {quota.claim.name: 0 for quota in grant.quotas})
        except StateError:
            _log.exception("exchange %s: what it has taken is not given back; it expires by itself", exchange.id)
