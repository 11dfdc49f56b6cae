"""Where the requests of one agent may go, and when a failed one is worth another attempt.

Chooses and decides; sends nothing. Pure: the time is an argument.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Self

import attrs

from aiogate.agent import Agent, Retry
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.budget import Budget
from aiogate.proxy.upstream.endpoint import endpoints_for
from aiogate.proxy.upstream.place import Place

__all__ = ["BROKEN", "IDEMPOTENT", "Endpoints", "reason_of"]

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
BROKEN: Final = frozenset({502, 503, 504, 529})
"""What an endpoint answers that is not well, whatever was asked."""
_NEVER: Final = Retry(attempts=1)
_SEVERAL: Final = Retry()
_FIRST_SECONDS: Final = 0.05
_MOST_SECONDS: Final = 1.0


def reason_of(ended: UpstreamError | int) -> str:
    """Return as what a ``retry`` names an end: an error or a status; ``""``: nothing that another attempt mends."""
    if isinstance(ended, int):
        return str(ended)
    if not ended.sent:
        return "connect"
    return "reset" if ended.code == "agent_unreachable" else ""


@attrs.define(eq=False)
class Endpoints:
    """The places of one agent.

    Args:
        agent: whose ``retry`` and deadlines apply.
        places: one for each endpoint, in the order of the config.
        budget: of retries.
        random: gives numbers from 0 to 1, 1 excluded, for the jitter.
    """

    agent: Agent
    places: tuple[Place, ...]
    budget: Budget
    random: Callable[[], float]
    _next: int = 0

    @classmethod
    def of(cls, agent: Agent, random: Callable[[], float], before: Self | None = None) -> Self:
        """Return those of an agent; what is known ``before`` of an endpoint that stays the same is known on."""
        known = {} if before is None else {place.endpoint: place for place in before.places}
        places = tuple(known.get(endpoint) or Place(endpoint, random) for endpoint in endpoints_for(agent))
        return cls(agent, places, Budget() if before is None else before.budget, random)

    @property
    def rule(self) -> Retry:
        """When a failed request is sent again."""
        return self.agent.retry or (_SEVERAL if self.agent.urls else _NEVER)

    @property
    def deadline_seconds(self) -> float:
        """From the first attempt on, by when the head of a response has to be there."""
        return min(self.agent.first_byte_seconds, self.agent.total_seconds or math.inf)

    def choose(self, now: float, tried: Collection[int] = ()) -> int:
        """Return the place for an attempt: the least busy of those that are well, or the least bad of all.

        One that was not tried yet comes first.
        """
        places, first = self.places, self._next
        count = len(places)
        self._next = (first + 1) % count
        order = [(first + step) % count for step in range(count)]

        def rank(index: int) -> tuple[bool, bool, Sequence[float]]:
            place = places[index]
            is_bad = not place.may_serve(now)
            return is_bad, index in tried, place.badness if is_bad else (place.pending,)

        return min(order, key=rank)

    def mends(self, reason: str, method: str) -> bool:
        """Tell whether a request that has failed for this reason may be sent once more: here, or to another agent."""
        rule = self.rule
        return reason in rule.on and (reason == "connect" or rule.unsafe or method in IDEMPOTENT)

    def again(self, tried: Sequence[int], *, now: float, began: float) -> tuple[int, float] | None:
        """Return the place where a failed request is sent again, and after how many seconds; None: nowhere.

        Args:
            tried: the places so far, one for each attempt.
            now: when the last attempt has failed.
            began: when the first began.
        """
        if len(tried) >= self.rule.attempts:
            return None
        place = self.choose(now, tried)
        seconds = min(_FIRST_SECONDS * 2.0 ** (len(tried) - 1), _MOST_SECONDS) * self.random()
        seconds = max(seconds, self.places[place].wait_seconds(now))
        if now + seconds - began >= self.deadline_seconds or not self.budget.take(now):
            return None
        return place, seconds

    def figures(self, now: float) -> list[dict[str, Any]]:
        """Return what an operator wants to know of the places."""
        return [place.figures(now) for place in self.places]
