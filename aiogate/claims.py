"""Claims: what an exchange takes from the counters, and what it gets for them.

The nouns of ``State`` (``aiogate/state``) and of the ``claims`` hook. Knows nothing of how counters are kept.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple, Self

import attrs

__all__ = ["Claim", "Counted", "Grant", "Quota", "Rate", "Shortage"]

_RATE: Final = re.compile(r"(?P<amount>[0-9](?:_?[0-9])*)\s*/\s*(?P<times>[0-9]+)?\s*(?P<unit>[a-z]+)")
_UNIT_SECONDS: Final = {
    name: seconds
    for seconds, names in ((1, ("s", "second")), (60, ("m", "minute")), (3600, ("h", "hour")), (86400, ("d", "day")))
    for name in names
}


@attrs.frozen
class Rate:
    """At most ``amount`` in any interval of ``seconds``."""

    amount: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate named by ``100/minute``, ``5/10s`` or ``50_000/2h``; ValueError says what is wrong."""
        match = _RATE.fullmatch(text.strip())
        unit = _UNIT_SECONDS.get(match["unit"]) if match else None
        if match is None or unit is None:
            msg = f"expected a rate such as '100/minute', '5/10s' or '1_000/day', got {text!r}"
            raise ValueError(msg)
        amount, times = int(match["amount"]), int(match["times"] or 1)
        if amount < 1 or times < 1:
            msg = f"expected a rate of at least 1 in at least 1 second, got {text!r}"
            raise ValueError(msg)
        return cls(amount, float(times * unit))

    def __str__(self) -> str:
        """Return the rate as the config writes it: ``100/minute``."""
        for name, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
            if self.seconds % seconds == 0:
                times = int(self.seconds // seconds)
                return f"{self.amount}/{'' if times == 1 else times}{name}"
        return f"{self.amount}/{'' if self.seconds == 1 else int(self.seconds)}second"


class Counted(StrEnum):
    """What kind of counter a claim is on."""

    WINDOW = "window"
    """Sliding: in no interval of ``seconds`` is more than ``limit`` admitted, ever."""
    LEASE = "lease"
    """At most ``limit`` held at once; given back when the grant is settled, or when its holder dies."""


@attrs.frozen
class Claim:
    """An amount that an exchange takes from one counter.

    Args:
        name: what the limit is called in refusals and ``RateLimit`` headers; visible ASCII without quotes.
        counter: identity of the counter; all claims on one counter have the same kind, limit and seconds.
        kind: window or lease.
        limit: how much the counter admits, at least 1.
        seconds: length of the window; for a lease, after how long a dead holder's share comes back.
        amount: how much is taken, at least 1.
    """

    name: str
    counter: str
    kind: Counted
    limit: int
    seconds: float
    amount: int = 1


class Quota(NamedTuple):  # made for every exchange, and a tuple is made fastest
    """What is left of a claim's counter after a decision: ``remaining`` units, more of them in ``reset_seconds``."""

    claim: Claim
    remaining: int
    reset_seconds: float


class Grant(NamedTuple):
    """What ``State.acquire`` gives: all claims were taken. ``id`` names the grant to ``State.settle``."""

    id: int
    quotas: tuple[Quota, ...]


@attrs.frozen
class Shortage:
    """What ``State.acquire`` gives when a claim does not fit: nothing was taken.

    Args:
        claim: the claim that fits last.
        retry_after_seconds: earliest time at which all claims can fit together.
        quotas: what is left of every counter.
    """

    claim: Claim
    retry_after_seconds: float
    quotas: tuple[Quota, ...]
