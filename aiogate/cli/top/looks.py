"""What ``aiogate top`` has seen of a gateway: the last look, and what has happened since one some seconds earlier.

Pure: knows neither terminals nor sockets.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import attrs

from aiogate.cli.figures import Buckets, since_then

__all__ = ["AgentNow", "Looks"]

_SECONDS: Final = 10.0
"""Over so long rates and quantiles are reckoned."""
Look = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class AgentNow:
    """How an agent does at present.

    Args:
        rate: exchanges that ended, a second.
        errors: of those that were sent to it, the share that failed.
        seconds: how long they took, by buckets.
    """

    id: str
    state: str
    open: int
    rate: float
    errors: float
    seconds: Buckets


@attrs.define
class Looks:
    """The looks of the last seconds."""

    _looks: deque[Look] = attrs.field(factory=deque)

    def add(self, look: Look) -> None:
        """Keep a look, and forget what is too old."""
        if self._looks and look["time"] < self._looks[-1]["time"]:
            self._looks.clear()  # another gateway answers, or its clock was set
        self._looks.append(look)
        while len(self._looks) > 2 and look["time"] - self._looks[1]["time"] >= _SECONDS:  # noqa: PLR2004 - two make a rate
            self._looks.popleft()

    @property
    def last(self) -> Look | None:
        """What was seen last."""
        return self._looks[-1] if self._looks else None

    def agents(self) -> list[AgentNow]:
        """Return the agents, those with most to do first."""
        last = self.last
        if last is None:
            return []
        first = self._looks[0]
        passed = last["time"] - first["time"]
        before = {one["id"]: one for one in first["agents"]} if passed > 0 else {}
        found = [_now(one, before.get(one["id"]), passed) for one in last["agents"]]
        return sorted(found, key=lambda one: (-one.rate, -one.open, one.id))


def _now(one: Mapping[str, Any], before: Mapping[str, Any] | None, passed: float) -> AgentNow:
    if before is None or before["calls"] > one["calls"]:
        calls, refused, errors, seconds = (one[name] for name in ("calls", "refused", "errors", "seconds"))
        rate = 0.0
    else:
        calls, refused, errors = (one[name] - before[name] for name in ("calls", "refused", "errors"))
        seconds = since_then(one["seconds"], before["seconds"])
        rate = calls / passed
    sent = calls - refused
    state = one["halted"] or one["breaker"] or "well"
    return AgentNow(
        id=one["id"],
        state="well" if state == "closed" else state,
        open=one["open"],
        rate=rate,
        errors=errors / sent if sent > 0 else 0.0,
        seconds=seconds,
    )
