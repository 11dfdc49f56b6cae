"""What is known of an agent: how many exchanges it has now, how fast it is, what it costs.

For the ranking. Learns from public facts of exchanges that have ended; knows nothing of other agents.
"""

import math
from collections import deque
from typing import Final

import attrs

from aiogate import Exchange, Outcome

__all__ = ["Figures"]

_SMOOTHING: Final = 0.2
"""How much of the moving average one exchange is."""
_RECENT: Final = 50
"""How many exchanges the mean cost is of."""
_FIRST_ERROR: Final = 400
_FIRST_FAILURE: Final = 500
_TOO_MANY: Final = 429


@attrs.define(eq=False)
class Figures:
    """One agent's figures.

    Args:
        pending: exchanges under way, WebSockets and streams included.
        latency_seconds: moving average of the time to the first byte, of answers below 400; None: never measured.
    """

    pending: int = 0
    latency_seconds: float | None = None
    _measured: float = -math.inf
    _failed: float = -math.inf
    _costs: deque[int] = attrs.field(factory=lambda: deque(maxlen=_RECENT))
    _answers: int = 0

    @property
    def cost_nanousd(self) -> float | None:
        """Mean of the recent exchanges whose cost is known; None: of none it is."""
        return sum(self._costs) / len(self._costs) if self._costs else None

    @property
    def has_answered(self) -> bool:
        """Whether there was an answer whose cost could have been known."""
        return self._answers > 0

    def is_fresh(self, now: float, refresh_seconds: float) -> bool:
        """Tell whether the latency, or that there is none, was found out lately."""
        return now - self._measured < refresh_seconds or self.has_failed(now, refresh_seconds)

    def has_failed(self, now: float, refresh_seconds: float) -> bool:
        """Tell whether the agent has failed lately: to try it once more out of curiosity can wait."""
        return now - self._failed < refresh_seconds

    def learn(self, exchange: Exchange, now: float, refresh_seconds: float) -> None:
        """Take note of how an exchange with the agent has ended.

        What an agent refuses or fails at it does fast: that is no measure of how fast it serves, nor of what it costs.
        """
        if exchange.forwarded is None:
            return
        status = exchange.status
        if exchange.outcome is Outcome.UPSTREAM_FAILED or status >= _FIRST_FAILURE or status == _TOO_MANY:
            self._failed = now
        elif exchange.outcome is Outcome.COMPLETED and status < _FIRST_ERROR:
            if exchange.first_byte is not None:
                self._measure(exchange.first_byte - exchange.forwarded, now, refresh_seconds)
            self._answers += 1
            if exchange.cost_nanousd is not None:
                self._costs.append(exchange.cost_nanousd)

    def _measure(self, seconds: float, now: float, refresh_seconds: float) -> None:
        """Go on with the moving average; one of long ago says nothing any more and begins anew."""
        if self.latency_seconds is None or now - self._measured >= refresh_seconds:
            self.latency_seconds = seconds
        else:
            self.latency_seconds += _SMOOTHING * (seconds - self.latency_seconds)
        self._measured = now
