"""Ranks candidates: a pure function of what is known of them, a session or a draw, and the time.

Every agent runs a race: the time that it takes is -ln(u)/weight, with u drawn, or hashed from session and agent. The
first at the end is each agent by its share of the weights, and of an agent that leaves only its own sessions move
(weighted rendezvous hashing). A group of agents stands where the member stands that wins its race.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import attrs

from aiogate import Agent, Ranked
from aiogate.builtin.routing.figures import Figures
from aiogate.builtin.routing.settings import Route

__all__ = ["Ranking"]

Place = tuple[float, ...]
_KNOWN, _UNKNOWN = 1.0, 2.0
_TRY: Final = 0.0
_HASH_BYTES: Final = 8
_HASHES: Final = 1 << 8 * _HASH_BYTES
_NANO: Final = 1e-9


@attrs.frozen(kw_only=True)
class Ranking:
    """One ranking.

    Args:
        route: by which strategy.
        figures: what is known, by agent id; an agent that is missing has never been called.
        session: what names the session, or None.
        random: gives numbers from 0 to 1.
        now: monotonic seconds.
        refresh_seconds: how long a latency holds.
    """

    route: Route
    figures: Mapping[str, Figures]
    random: Callable[[], float]
    now: float
    refresh_seconds: float
    session: str | None = None

    def of(self, candidates: Sequence[Agent]) -> list[Ranked]:
        """Return the candidates, best first; what ties stays in the order in which it came."""
        groups: dict[tuple[str, bool], list[Agent]] = {}
        for agent in candidates:
            name = (agent.id, False) if agent.group is None else (agent.group, True)
            groups.setdefault(name, []).append(agent)
        placed: list[tuple[Place, list[Ranked]]] = []
        for (group, _), members in groups.items():
            races = {agent.id: self._race(agent) for agent in members} if self._draws(members) else {}
            in_order = sorted(members, key=lambda agent: races.get(agent.id, 0.0))
            place = self._place(in_order[0], races.get(in_order[0].id, 0.0), group)
            placed.append((place, [self._ranked(agent, members) for agent in in_order]))
        placed.sort(key=lambda one: one[0])
        return [ranked for _, members_ranked in placed for ranked in members_ranked]

    def _draws(self, members: Sequence[Agent]) -> bool:
        return len(members) > 1 or self.route.strategy == "weighted"

    def _race(self, agent: Agent) -> float:
        if agent.weight == 0:
            return math.inf
        return -math.log(self._number(f"agent\0{agent.id}")) / agent.weight

    def _number(self, name: str) -> float:
        """Return a number above 0 and up to 1: the same one for a session and a name, or one that is drawn."""
        if self.session is None:
            return 1.0 - self.random()
        digest = blake2b(f"{name}\0{self.session}".encode("utf-8", "surrogateescape"), digest_size=_HASH_BYTES)
        return (int.from_bytes(digest.digest()) + 1) / _HASHES

    def _place(self, agent: Agent, race: float, group: str) -> Place:
        """Return where the agent stands, the lower the better; it stands for its whole group."""
        strategy = self.route.strategy
        if strategy == "weighted":
            return (race,)
        first = float(agent.priority) if strategy == "priority" else 0.0
        if self.session is not None:
            return (first, -math.log(self._number(f"group\0{group}")))
        figures = self.figures.get(agent.id) or Figures()
        if strategy == "least_pending":
            return (float(figures.pending),)
        if strategy == "lowest_latency":
            return self._measured(figures, figures.latency_seconds, figures.is_fresh(self.now, self.refresh_seconds))
        if strategy == "lowest_cost":
            is_known = figures.has_answered or figures.has_failed(self.now, self.refresh_seconds)
            return self._measured(figures, figures.cost_nanousd, is_known)
        return (first,)

    @staticmethod
    def _measured(figures: Figures, figure: float | None, is_fresh: bool) -> Place:
        """Return the place by a figure. What nobody knows is found out, by one exchange at a time."""
        if not is_fresh and figures.pending == 0:
            return (_TRY,)
        return (_UNKNOWN,) if figure is None else (_KNOWN, figure)

    def _ranked(self, agent: Agent, members: Sequence[Agent]) -> Ranked:
        reason, figures = self._said(agent)
        if self.session is not None:
            reason += f", sticky by {self.route.header}"
        if agent.group is not None:
            weights = sum(member.weight for member in members)
            reason += f", weight {agent.weight} of {weights} in group {agent.group}"
            figures |= {"group": agent.group, "weight": agent.weight}
        return Ranked(agent=agent, reason=reason, figures=figures)

    def _said(self, agent: Agent) -> tuple[str, dict[str, object]]:
        known = self.figures.get(agent.id) or Figures()
        match self.route.strategy:
            case "priority":
                return f"priority {agent.priority}", {"priority": agent.priority}
            case "weighted":
                return f"weight {agent.weight}", {"weight": agent.weight}
            case "least_pending":
                return f"{known.pending} pending", {"pending": known.pending}
            case "lowest_latency":
                seconds = known.latency_seconds
                said = "not measured yet" if seconds is None else f"{seconds:.3f} s to the first byte"
                if seconds is not None and not known.is_fresh(self.now, self.refresh_seconds):
                    said += ", long ago"
                return said, {"latency_seconds": seconds, "pending": known.pending}
            case "lowest_cost":
                cost = known.cost_nanousd
                said = "cost unknown" if cost is None else f"${cost * _NANO:.6f} a call"
                return said, {"cost_nanousd": None if cost is None else round(cost), "pending": known.pending}
