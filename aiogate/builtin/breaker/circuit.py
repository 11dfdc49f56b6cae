"""One agent's circuit: closed, open, half open with one probe. A pure state machine; the time is an argument.

Knows nothing of exchanges, plugins or clocks; ``now`` and ``began`` are seconds of one monotonic clock.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from secrets import token_hex
from typing import Final

import attrs

from aiogate.builtin.breaker.settings import Policy

__all__ = ["Circuit", "Hold", "Phase", "Probe", "Told"]

_JITTER: Final = 0.2
_PROBING_SECONDS: Final = 1.0
"""When to come back while a probe is out: soon, for it may be answered at any moment."""


class Phase(StrEnum):
    """What a circuit does with an exchange."""

    CLOSED = "closed"
    """Everything goes to the agent."""
    OPEN = "open"
    """Nothing does, until some time."""
    HALF_OPEN = "half_open"
    """One probe does, nothing else until it has ended."""
    PAUSED = "paused"
    """Nothing does, for the agent has asked for it."""
    HELD_OPEN = "held_open"
    """Nothing does, until an operator says so."""
    HELD_CLOSED = "held_closed"
    """Everything does, whatever comes back, until an operator says otherwise."""


@attrs.frozen(eq=False)
class Probe:
    """The right of one exchange to find out whether the agent is back.

    After ``expires`` another may have it: a client that takes for ever to send its body must not keep the agent shut.
    """

    expires: float


@attrs.frozen(kw_only=True)
class Hold:
    """What an operator has decided, and why; ``since`` is in seconds since 1970."""

    open: bool
    actor: str
    reason: str
    since: float


@attrs.frozen(kw_only=True)
class Told:
    """What gateways tell each other of a circuit; one that is well has nothing to tell.

    Args:
        opening: which opening it is that has not been closed; empty: none.
        open_seconds: how much longer nothing goes to the agent; 0: the circuit is half open.
        length: how long it was opened for.
        paused_seconds: for how much longer the agent has asked to be left alone.
        hold: what an operator has decided.
    """

    opening: str = ""
    open_seconds: float = 0.0
    length: float = 0.0
    paused_seconds: float = 0.0
    hold: Hold | None = None


@attrs.define(eq=False)
class Circuit:
    """Whether an agent is called, judged by how its last exchanges ended.

    What was sent to the agent before the circuit last opened or closed says nothing about it now: its end is not
    counted, or a pile of old timeouts would shut an agent that has recovered.

    Args:
        policy: how the agent is judged; a reload may put another one here.
        random: gives numbers from 0 to 1 for the jitter.
    """

    policy: Policy
    random: Callable[[], float]
    openings: int = 0
    opening: str = ""
    """Which one it is, among all gateways that share it."""
    hold: Hold | None = None
    _failed: list[float] = attrs.field(factory=list)
    _since: float = -math.inf
    _until: float | None = None
    _length: float = 0.0
    _probe: Probe | None = None
    _trial: Probe | None = None
    _paused_until: float = -math.inf

    # whether an exchange may go to the agent

    @property
    def failures(self) -> int:
        """How many failures in a row are counted now."""
        return len(self._failed)

    @property
    def is_well(self) -> bool:
        """Whether one more success changes nothing."""
        return self._until is None and not self._failed and self._length == 0.0

    def is_clear(self, now: float) -> bool:
        """Tell whether exchanges pass without a look at the circuit."""
        return self.phase(now) in {Phase.CLOSED, Phase.HELD_CLOSED}

    def phase(self, now: float) -> Phase:
        """Return what the circuit does with an exchange now."""
        if self.hold is not None:
            return Phase.HELD_OPEN if self.hold.open else Phase.HELD_CLOSED
        if self._until is not None and now < self._until:
            return Phase.OPEN
        if now < self._paused_until:
            return Phase.PAUSED
        return Phase.CLOSED if self._until is None else Phase.HALF_OPEN

    def wait_seconds(self, now: float) -> float:
        """Return for how long to stay away from the agent; 0: go, with a probe when the circuit is half open."""
        match self.phase(now):
            case Phase.HELD_OPEN:
                return self.policy.open_seconds
            case Phase.OPEN | Phase.PAUSED:
                until = -math.inf if self._until is None else self._until
                return max(until, self._paused_until) - now
            case Phase.HALF_OPEN if self._probe is not None and now < self._probe.expires:
                return _PROBING_SECONDS
            case _:
                return 0.0

    def probe(self, now: float, lease_seconds: float) -> Probe | None:
        """Give an exchange that goes to the agent the probe of a half-open circuit; None where it needs none."""
        if self.phase(now) is not Phase.HALF_OPEN:
            return None
        self._probe = Probe(now + lease_seconds)
        return self._probe

    # how it ended

    def answered(self, probe: Probe, now: float) -> None:
        """Close for everybody, as the head of a good answer is there; its body may take hours."""
        if probe is self._probe and self.hold is None:
            self._close(now)
            self._trial = probe

    def succeeded(self, now: float, began: float, probe: Probe | None = None) -> None:
        """Count an answer that is whole and no failure; it was sent to the agent at ``began``."""
        if not self._counts(began, probe):
            return
        if self._until is not None:
            self._close(now)
        self._failed.clear()
        self._length = 0.0

    def failed(self, now: float, began: float, probe: Probe | None = None) -> None:
        """Count a failure; a probe's opens the circuit again, after a good head too unless others have succeeded."""
        if not self._counts(began, probe):
            return
        on_trial = probe is not None and probe is self._trial and self._length > 0
        if self._until is not None or on_trial:
            self._open(now)
            return
        first = now - self.policy.window_seconds
        self._failed = [*(at for at in self._failed if at >= first), now]
        if len(self._failed) >= self.policy.failures:
            self._open(now)

    def release(self, probe: Probe) -> None:
        """Free the slot of a probe that has found out nothing, such as one whose client hung up."""
        if probe is self._probe:
            self._probe = None

    def pause(self, now: float, seconds: float) -> None:
        """Leave the agent alone for as long as it asks for, and no longer than the policy has it."""
        self._paused_until = max(self._paused_until, now + min(seconds, self.policy.max_pause_seconds))

    # what an operator says

    def reset(self, now: float, hold: Hold | None = None) -> None:
        """Forget everything and begin anew; with ``hold`` stay as the operator says."""
        self._close(now)
        self._failed.clear()
        self._length = 0.0
        self._paused_until = -math.inf
        self.hold = hold

    # what other gateways hear and say

    @property
    def shape(self) -> tuple[str, float, Hold | None]:
        """What, when it changes, other gateways should know."""
        return self.opening if self._until is not None else "", self._paused_until, self.hold

    def told(self, now: float) -> Told | None:
        """Return what to tell; None: that the agent is well."""
        opening = self.opening if self._until is not None else ""
        paused = max(0.0, self._paused_until - now)
        if not (opening or paused or self.hold):
            return None
        left = 0.0 if self._until is None else max(0.0, self._until - now)
        length = self._length if opening else 0.0
        return Told(opening=opening, open_seconds=left, length=length, paused_seconds=paused, hold=self.hold)

    def hear(self, told: Told | None, now: float, age_seconds: float) -> None:
        """Do as another gateway has said so long ago; of an opening that is known already the probe goes on."""
        if told is None or told.hold != self.hold:
            self.reset(now, None if told is None else told.hold)
        if told is None:
            return
        if not told.opening:
            if self._until is not None:
                self._close(now)
        elif told.opening != self.opening or self._until is None:
            self.opening, self._length = told.opening, told.length
            self._until = now + max(0.0, told.open_seconds - age_seconds)
            self._since = now - age_seconds
            self._probe = self._trial = None
            self._failed.clear()
        self._paused_until = max(self._paused_until, now + told.paused_seconds - age_seconds)

    # the rest

    def _counts(self, began: float, probe: Probe | None) -> bool:
        if self.hold is not None:
            return False
        if self._until is not None:
            return probe is not None and probe is self._probe
        return began >= self._since or (probe is not None and probe is self._trial)

    def _open(self, now: float) -> None:
        first = self._length == 0.0
        self._length = self.policy.open_seconds if first else min(2 * self._length, self.policy.max_open_seconds)
        self._until = now + self._length * (1.0 if first else 1.0 - _JITTER * self.random())
        self._since = now
        self._probe = self._trial = None
        self._failed.clear()
        self.openings += 1
        self.opening = token_hex(8)

    def _close(self, now: float) -> None:
        self._until = self._probe = self._trial = None
        self._since = now
