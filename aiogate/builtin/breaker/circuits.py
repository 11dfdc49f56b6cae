"""The circuits of all agents, by agent id: what one generation of the plugin hands to the next.

Knows which of them an exchange must look at, and says in the log what they do. Knows no exchanges.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from aiogate.builtin.breaker.circuit import Circuit, Phase, Told
from aiogate.builtin.breaker.settings import BreakerConfig

__all__ = ["Circuits", "Status", "Untold"]

_log: Final = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Status:
    """One agent's circuit as an operator sees it.

    ``failures`` are those in a row that are counted now, ``openings`` all that there were; ``actor`` and ``reason`` are
    those of a hold.
    """

    agent: str
    phase: Phase
    failures: int
    openings: int
    retry_after_seconds: float
    actor: str | None = None
    reason: str | None = None


@attrs.define(eq=False)
class Untold:
    """The agents whose circuits have changed here, and what is known to be the same everywhere."""

    agents: set[str] = attrs.field(factory=set, init=False)
    some: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    same: dict[str, bytes | None] = attrs.field(factory=dict, init=False)
    """What was told last of each agent, by this gateway or another."""

    def add(self, agent_id: str) -> None:
        """Note a change."""
        self.agents.add(agent_id)
        self.some.set()


@attrs.define(eq=False)
class Circuits:
    """Every agent that has ever failed, been paused or held has a circuit here; all others are well.

    ``shut`` holds those that an exchange may not simply pass; the way of every request looks there and nowhere else.
    """

    config: BreakerConfig
    random: Callable[[], float]
    shut: dict[str, Circuit] = attrs.field(factory=dict, init=False)
    untold: Untold | None = attrs.field(default=None, init=False)
    """Whose circuits other gateways have to hear of; None: there are no others."""
    tell: Callable[..., None] | None = attrs.field(default=None, init=False)
    """Lets operators know, as ``Gateway.tell`` does."""
    _all: dict[str, Circuit] = attrs.field(factory=dict, init=False)

    def adopt(self, config: BreakerConfig) -> None:
        """Go on under another config: what is open stays open, what comes is judged anew."""
        self.config = config
        for agent_id, circuit in self._all.items():
            circuit.policy = config.policy(agent_id)

    def get(self, agent_id: str) -> Circuit | None:
        """Return an agent's circuit; None: it has never been anything but well."""
        return self._all.get(agent_id)

    @contextmanager
    def change(self, agent_id: str, now: float) -> Iterator[Circuit]:
        """Give out an agent's circuit to be changed, then note what has become of it."""
        circuit = self._all.get(agent_id)
        if circuit is None:
            circuit = self._begun(agent_id)
        shape = circuit.shape
        with self._noted(agent_id, circuit, now):
            yield circuit
        if self.untold is not None and circuit.shape != shape:
            self.untold.add(agent_id)

    def hear(self, agent_id: str, told: Told | None, now: float, age_seconds: float) -> None:
        """Do as another gateway has said so long ago; None: the agent is well."""
        circuit = self._all.get(agent_id)
        if circuit is None:
            if told is None:
                return
            circuit = self._begun(agent_id)
        with self._noted(agent_id, circuit, now):
            circuit.hear(told, now, age_seconds)

    def _begun(self, agent_id: str) -> Circuit:
        circuit = self._all[agent_id] = Circuit(self.config.policy(agent_id), self.random)
        return circuit

    @contextmanager
    def _noted(self, agent_id: str, circuit: Circuit, now: float) -> Iterator[None]:
        before = circuit.phase(now), circuit.openings
        yield
        phase = circuit.phase(now)
        if before != (phase, circuit.openings):
            _tell(agent_id, circuit, phase, now)
            if self.tell is not None:
                told = _status(agent_id, circuit, now)
                self.tell("breaker", agent=agent_id, before=before[0], **attrs.asdict(told, filter=_is_told))
        if circuit.is_clear(now):
            self.shut.pop(agent_id, None)
        else:
            self.shut[agent_id] = circuit

    def statuses(self, now: float) -> list[Status]:
        """Return what there is to tell, by agent id; an agent that is missing is well."""
        return [_status(agent_id, self._all[agent_id], now) for agent_id in sorted(self._all)]


def _status(agent_id: str, circuit: Circuit, now: float) -> Status:
    hold = circuit.hold
    return Status(
        agent=agent_id,
        phase=circuit.phase(now),
        failures=circuit.failures,
        openings=circuit.openings,
        retry_after_seconds=circuit.wait_seconds(now),
        actor=hold.actor if hold else None,
        reason=hold.reason if hold else None,
    )


def _is_told(field: "attrs.Attribute[object]", value: object) -> bool:
    """Leave out what is told anyway, and what there is not."""
    return field.name != "agent" and value is not None


def _tell(agent_id: str, circuit: Circuit, phase: Phase, now: float) -> None:
    held = f" by {circuit.hold.actor!r}: {circuit.hold.reason}" if circuit.hold else ""
    wait = f" for {circuit.wait_seconds(now):g} s" if phase in {Phase.OPEN, Phase.PAUSED} else ""
    _log.warning("breaker of agent %r: %s%s%s", agent_id, phase, wait, held)
