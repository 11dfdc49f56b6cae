"""The ``breaker`` plugin: leaves an agent alone that keeps failing, and tries now and then whether it is back.

For configs that name it; behind the plugins that authenticate, so that strangers learn nothing of agents. Uses public
names alone. See the package for what a config looks like.
"""

import logging
import random as random_numbers
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from difflib import get_close_matches
from typing import Final

from aiogate import (
    Agent,
    AiogateError,
    Claim,
    Clock,
    Counted,
    Exchange,
    Gateway,
    Key,
    Refusal,
    Refused,
    hookimpl,
    refusal,
)
from aiogate.builtin.breaker.circuit import Circuit, Hold, Phase, Probe
from aiogate.builtin.breaker.circuits import Circuits, Status
from aiogate.builtin.breaker.fleet import TOPIC, Fleet
from aiogate.builtin.breaker.settings import BreakerConfig
from aiogate.builtin.breaker.verdict import ASKS_FOR_PAUSE, Verdict, asked_seconds, is_failure, left_behind, verdict

__all__ = ["Breaker"]

_log: Final = logging.getLogger(__name__)
PROBE: Final = Key[tuple[str, Probe]]("breaker.probe")
"""The probe that an exchange holds, behind the id of the agent that it is for."""
_DEAD_SECONDS: Final = 10.0
"""So long after its gateway has died a probe is free again."""
_WHY: Final = {
    Phase.OPEN: "it has failed several times in a row",
    Phase.HALF_OPEN: "it has failed, and whether it is back is being found out",
    Phase.PAUSED: "it has asked to be left alone",
    Phase.HELD_OPEN: "an operator has taken it out of service",
}


class Breaker:
    """Rules agents out whose circuit is open, and learns from how exchanges end."""

    Config = BreakerConfig

    def __init__(self, config: BreakerConfig, random: Callable[[], float] = random_numbers.random) -> None:
        """Keep the config; ``random`` gives numbers from 0 to 1 for the jitter."""
        self._circuits = Circuits(config, random)
        self._clock = Clock()
        self._agents: Mapping[str, Agent] = {}

    def inherit(self, previous: object) -> None:
        """Go on with the circuits of the plugin that the config before had in this one's place.

        Both share them from now on, as exchanges of the config before end on the plugin before.
        """
        if isinstance(previous, Breaker):
            before = self._circuits
            previous._circuits.adopt(before.config)  # noqa: SLF001 - of the same class
            previous._circuits.tell = before.tell  # noqa: SLF001 - likewise
            self._circuits = previous._circuits  # noqa: SLF001 - likewise
            if before.untold is not None:
                before.untold.some.set()  # who waits there looks at the other ones from now on

    # the hooks

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[None] | None:
        """Take the clock and the agents, and refuse settings for an agent that there is not; join other gateways."""
        self._clock = gateway.clock
        self._agents = gateway.agents
        self._circuits.tell = gateway.tell
        for agent_id in self._circuits.config.agents:
            self._known(agent_id)
        if not gateway.board.is_shared:
            return None
        return Fleet(gateway.board.topic(TOPIC), lambda: self._circuits, gateway.clock).joined()

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        """Rule out the candidates that nothing may be sent to now."""
        shut = self._circuits.shut
        if not shut:
            return
        now = exchange.clock.monotonic()
        for agent in tuple(exchange.candidates):
            circuit = shut.get(agent.id)
            if circuit is not None and (why := _refusal(agent, circuit, now)) is not None:
                exchange.rule_out(agent, why)

    @hookimpl
    def claims(self, exchange: Exchange) -> tuple[Claim, ...]:
        """Take the probe of a half-open circuit: only now it is known which agent really serves.

        Where several gateways share the circuit it is claimed as well, with all else that the exchange claims: of all
        who do so one gets it, at the price of no way to Redis more. While Redis is away each gateway has one.

        Raises ``Refused`` when another exchange was faster, or the circuit has opened since ``pre_request``.
        """
        shut = self._circuits.shut
        if not shut:
            return ()
        now = exchange.clock.monotonic()
        self._leave(exchange, now)
        agent = exchange.agent
        circuit = shut.get(agent.id) if agent is not None else None
        if agent is None or circuit is None:
            return ()
        why = _refusal(agent, circuit, now)
        if why is not None:
            raise Refused(why)
        probe = circuit.probe(now, agent.connect_seconds + agent.first_byte_seconds)
        if probe is None:
            return ()
        exchange[PROBE] = agent.id, probe
        return () if self._circuits.untold is None else (_claim(agent, circuit, now),)

    @hookimpl
    def response_started(self, exchange: Exchange) -> None:
        """Close the circuit on the head of a probe's good answer; pause an agent that asks for it."""
        agent = exchange.agent
        if agent is None:
            return
        probe = _probe(exchange, agent)
        if probe is None and exchange.status not in ASKS_FOR_PAUSE:
            return
        now = exchange.clock.monotonic()
        if probe is not None and not is_failure(exchange.status):
            with self._circuits.change(agent.id, now) as circuit:
                circuit.answered(probe, now)
        if self._is_asked_for(agent.id, exchange.status):
            seconds = asked_seconds(exchange)
            if seconds > 0:
                with self._circuits.change(agent.id, now) as circuit:
                    circuit.pause(now, seconds)

    @hookimpl
    def post_response(self, exchange: Exchange) -> None:
        """Count how the exchange ended, and free the probe of one that has found out nothing.

        It counts once for each agent that it was sent to, by how it ended there, however many attempts that took.
        """
        if exchange.get(PROBE) is not None:
            self._leave(exchange, exchange.clock.monotonic())
        if exchange.attempts:
            self._count_failed(exchange)
        agent = exchange.agent
        if agent is None:
            return
        said = verdict(exchange)
        known = self._circuits.get(agent.id)
        if said is not Verdict.BAD and (known is None or (known.is_well and agent.id not in self._circuits.shut)):
            return
        now = exchange.clock.monotonic()
        probe = _probe(exchange, agent)
        began = now if exchange.forwarded is None else exchange.forwarded
        with self._circuits.change(agent.id, now) as circuit:
            if said is Verdict.BAD:
                circuit.failed(now, began, probe)
            elif said is Verdict.GOOD:
                circuit.succeeded(now, began, probe)
            elif probe is not None:
                circuit.release(probe)

    # what operators call

    def open(self, agent_id: str, *, actor: str, reason: str) -> Hold:
        """Take an agent out of service until ``close`` or ``reset``; raises ``AiogateError`` for an unknown one."""
        return self._hold(agent_id, Hold(open=True, actor=actor, reason=reason, since=self._clock.wall()))

    def close(self, agent_id: str, *, actor: str, reason: str) -> Hold:
        """Keep an agent in service, however it fails, until ``open`` or ``reset``."""
        return self._hold(agent_id, Hold(open=False, actor=actor, reason=reason, since=self._clock.wall()))

    def reset(self, agent_id: str, *, actor: str, reason: str) -> None:
        """Forget what is known of an agent, an operator's word included, and judge it by what comes."""
        self._known(agent_id)
        now = self._clock.monotonic()
        with self._circuits.change(agent_id, now) as circuit:
            circuit.reset(now)
        _log.warning("breaker of agent %r: reset by %r: %s", agent_id, actor, reason)

    def statuses(self) -> list[Status]:
        """Return the circuits of all agents that were ever unwell."""
        return self._circuits.statuses(self._clock.monotonic())

    # the rest

    def _leave(self, exchange: Exchange, now: float) -> None:
        """Free the probe of an agent that does not serve the exchange after all; another one may have it at once."""
        held = exchange.get(PROBE)
        if held is not None and (exchange.agent is None or exchange.agent.id != held[0]):
            failed = left_behind(exchange).get(held[0])
            with self._circuits.change(held[0], now) as circuit:
                if failed is None:
                    circuit.release(held[1])
                else:
                    circuit.failed(now, failed.began, held[1])

    def _count_failed(self, exchange: Exchange) -> None:
        """Count the failures of the agents in whose place another one has served; pause those that ask for it."""
        now = exchange.clock.monotonic()
        for agent_id, failed in left_behind(exchange).items():
            with self._circuits.change(agent_id, now) as circuit:
                if failed.status is None or is_failure(failed.status):
                    circuit.failed(now, failed.began)
                if self._is_asked_for(agent_id, failed.status) and failed.retry_after_seconds > 0:
                    circuit.pause(now, failed.retry_after_seconds)

    def _is_asked_for(self, agent_id: str, status: int | None) -> bool:
        return status in ASKS_FOR_PAUSE and self._circuits.config.policy(agent_id).honor_retry_after

    def _hold(self, agent_id: str, hold: Hold) -> Hold:
        self._known(agent_id)
        now = self._clock.monotonic()
        with self._circuits.change(agent_id, now) as circuit:
            circuit.reset(now, hold)
        return hold

    def _known(self, agent_id: str) -> None:
        if agent_id not in self._agents:
            close = get_close_matches(agent_id, self._agents, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            msg = f"there is no agent {agent_id!r}{hint}"
            raise AiogateError(msg)


def _probe(exchange: Exchange, agent: Agent) -> Probe | None:
    """Return the probe of an agent that an exchange holds."""
    held = exchange.get(PROBE)
    return held[1] if held is not None and held[0] == agent.id else None


def _claim(agent: Agent, circuit: Circuit, now: float) -> Claim:
    """Return what only one exchange of all gateways can have; it comes back with the end of that, or its gateway's."""
    return Claim(
        "breaker",
        f"breaker:{agent.id}:{circuit.opening}",
        Counted.LEASE,
        limit=1,
        seconds=_DEAD_SECONDS,
        on_state_error="allow",
        otherwise=_refusal(agent, circuit, now),
    )


def _refusal(agent: Agent, circuit: Circuit, now: float) -> Refusal | None:
    """Return why nothing may be sent to an agent now, or None."""
    seconds = circuit.wait_seconds(now)
    if seconds <= 0:
        return None
    detail = f"agent {agent.id!r} is not called now: {_WHY[circuit.phase(now)]}"
    return refusal("agent_unavailable", detail, retry_after_seconds=seconds, rule="breaker")
