"""A clock that stands still until a test moves it, and the claims that tests of counters make."""

import attrs

from aiogate.claims import Claim, Counted, Measure, Period
from aiogate.exchange import Clock


@attrs.define
class Ticking:
    """Seconds that pass when a test says so; eighths of them add up exactly."""

    now: float = 1000.0

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, wall=lambda: self.now)


def a_window(counter: str = "requests", limit: int = 3, seconds: float = 60.0, amount: int = 1) -> Claim:
    return Claim(counter, counter, Counted.WINDOW, limit, seconds, amount)


def a_lease(counter: str = "streams", limit: int = 2, amount: int = 1) -> Claim:
    return Claim(counter, counter, Counted.LEASE, limit, 3600.0, amount)


def a_period(counter: str = "budget", limit: int = 100, amount: int = 1, ends: float = 5000.0) -> Claim:
    """Return a claim on what is to be spent until ``ends``; what it holds lives for a minute."""
    return Claim(counter, counter, Counted.PERIOD, limit, 60.0, amount, Measure.NANOUSD, Period(0.0, ends))
