"""The breakers of the agents, for operators: how they are, as JSON and as metrics, and what they are told by hand.

A plugin is a breaker that has the methods of ``Breaker`` here; which one that is nobody here knows.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, Protocol, runtime_checkable

import attrs
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from aiogate.errors import Refused, refusal
from aiogate.journal.action import encode_action
from aiogate.server.generation import Generation
from aiogate.server.house import House

__all__ = ["VERBS", "Verb", "breaker_metrics", "endpoint_metrics", "operate", "statuses_of"]

Verb = Literal["open", "close", "reset"]
VERBS: Final[tuple[Verb, ...]] = ("open", "close", "reset")
_STATES: Final = ("closed", "open", "half_open", "paused", "held_open", "held_closed")


@runtime_checkable
class Breaker(Protocol):
    """What a plugin has to have. Each status has ``agent`` and ``phase``; an agent that is missing is well."""

    def statuses(self) -> list[Any]:
        """Return how the agents are."""
        ...

    def open(self, agent_id: str, *, actor: str, reason: str) -> object:
        """Take an agent out of service."""
        ...

    def close(self, agent_id: str, *, actor: str, reason: str) -> object:
        """Keep an agent in service."""
        ...

    def reset(self, agent_id: str, *, actor: str, reason: str) -> object:
        """Forget what is known of an agent."""
        ...


def statuses_of(generation: Generation) -> dict[str, dict[str, Any]]:
    """Return how the agents are that were ever unwell, by agent id."""
    return {status.agent: attrs.asdict(status) for breaker in _breakers(generation) for status in breaker.statuses()}


def operate(  # noqa: PLR0913 - each is said by its name
    house: House, generation: Generation, verb: Verb, agent_id: str, *, actor: str, reason: str
) -> dict[str, Any]:
    """Do what an operator asks for, and write down who it was; return how the agent is then.

    Raises ``Refused``, and ``JournalError``: then nothing has changed.
    """
    breakers = list(_breakers(generation))
    if agent_id not in generation.agents:
        raise Refused(refusal("unknown_agent", f"there is no agent {agent_id!r}"))
    if not breakers:
        detail = 'no plugin in pipeline.plugins is a breaker: add "breaker"'
        raise Refused(refusal("not_found", detail))
    what = f"breaker.{verb}"
    house.journal.append(encode_action(house.clock.wall(), what, agent=agent_id, actor=actor, reason=reason))
    for breaker in breakers:
        getattr(breaker, verb)(agent_id, actor=actor, reason=reason)
    return {"action": what, "agent": agent_id, "actor": actor, "reason": reason, **_status(generation, agent_id)}


def breaker_metrics(generation: Generation) -> Iterator[Metric]:
    """Yield the state of every agent's breaker, where there is one."""
    if not any(_breakers(generation)):
        return
    known = statuses_of(generation)
    states = GaugeMetricFamily(
        "aiogate_breaker_state", "1 for the state that an agent's breaker is in.", labels=["agent", "state"]
    )
    openings = CounterMetricFamily("aiogate_breaker_openings", "How often it has opened.", labels=["agent"])
    for agent_id in generation.agents:
        status = known.get(agent_id, {"phase": "closed", "openings": 0})
        for state in _STATES:
            states.add_metric([agent_id, state], float(status["phase"] == state))
        openings.add_metric([agent_id], status["openings"])
    yield from (states, openings)


def endpoint_metrics(house: House) -> Iterator[Metric]:
    """Yield how the endpoints are of agents that have several, or retries, probes or a fallback."""
    figures = house.upstream.figures(house.clock.monotonic())
    labels = ["agent", "endpoint"]
    well = GaugeMetricFamily("aiogate_endpoint_well", "1: it is neither set aside nor down.", labels=labels)
    pending = GaugeMetricFamily("aiogate_endpoint_pending", "Requests under way there.", labels=labels)
    retries = CounterMetricFamily("aiogate_retries", "Attempts behind the first.", labels=["agent"])
    for agent_id, places in figures.items():
        for place in places:
            well.add_metric([agent_id, place["endpoint"]], float(place["state"] == "well"))
            pending.add_metric([agent_id, place["endpoint"]], place["pending"])
        retries.add_metric([agent_id], house.upstream.retries(agent_id))
    yield from (well, pending, retries) if figures else ()


def _status(generation: Generation, agent_id: str) -> dict[str, Any]:
    return {"breaker": statuses_of(generation).get(agent_id)}


def _breakers(generation: Generation) -> Iterator[Breaker]:
    for plugin in generation.pipeline.plugins.values():
        if isinstance(plugin, Breaker):
            yield plugin
