"""Claims: what an exchange takes from the counters, and what it gets for them.

The nouns of ``State`` and of the ``claims`` hook. Knows nothing of how counters are kept.

Amounts are whole numbers, money is nano-dollars. Counters hold them exactly up to ``LARGEST_AMOUNT``, since in Redis a
script reckons with doubles: nine million dollars on one counter.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Protocol, Self

import attrs

from aiogate.errors import Refusal, refusal

__all__ = [
    "LARGEST_AMOUNT",
    "Claim",
    "Counted",
    "Grant",
    "Measure",
    "OnStateError",
    "Period",
    "Quota",
    "Rate",
    "Shortage",
    "Standing",
    "State",
    "budget_refusal",
]

LARGEST_AMOUNT: Final = 2**53 - 1
_NANO: Final = 10**9

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
    PERIOD = "period"
    """At most ``limit`` spent and held in one calendar period; what is held is spent, or given back, by settling."""


class Measure(StrEnum):
    """What a claim's amount is of, and so what it is settled with."""

    REQUESTS = "requests"
    """What was claimed is what it was."""
    TOKENS = "tokens"
    """Input and output of ``exchange.usage``."""
    NANOUSD = "nanousd"
    """``exchange.cost_nanousd``."""


class Period(NamedTuple):
    """A stretch of the calendar, in wall seconds since 1970; ``ends`` is the first moment behind it."""

    starts: float
    ends: float


OnStateError = Literal["refuse", "allow", "local"]
"""What becomes of a claim while the state cannot be reached: a 503, no limit at all, or this gateway's share of it."""


@attrs.frozen
class Claim:
    """An amount that an exchange takes from one counter.

    Args:
        name: what the limit is called in refusals and ``RateLimit`` headers; visible ASCII without quotes.
        counter: identity of the counter; all claims on one counter have the same kind, limit, seconds and period. One
            of a period is another one in the next: its identity tells them apart.
        kind: window, lease or period.
        limit: how much the counter admits, at least 1.
        seconds: length of the window; for the others, after how long a dead holder's share comes back.
        amount: how much is taken, at least 1.
        measure: what it is an amount of.
        period: of a counter of that kind.
        on_state_error: None: what ``[state] on_error`` says.
        otherwise: what the client gets where it does not fit; None: a 429. One that has it is in no ``RateLimit``
            header: it is nothing that a caller could go by.
        least: of a period: where less than ``amount`` is left, what is left is taken, down to this; None: all of it.
    """

    name: str
    counter: str
    kind: Counted
    limit: int
    seconds: float
    amount: int = 1
    measure: Measure = Measure.REQUESTS
    period: Period | None = None
    on_state_error: OnStateError | None = None
    otherwise: Refusal | None = None
    least: int | None = None


class Quota(NamedTuple):  # made for every exchange, and a tuple is made fastest
    """What is left of a claim's counter after a decision: ``remaining`` units, more of them in ``reset_seconds``.

    ``claim`` has the amount that was taken, where that may be less. ``spent`` and ``held`` are told of periods only.
    """

    claim: Claim
    remaining: int
    reset_seconds: float
    spent: int = 0
    held: int = 0


class Grant(NamedTuple):
    """What ``State.acquire`` gives: all claims were taken. ``id`` names the grant to ``State.settle``.

    ``degraded``: the counters that all gateways share could not be reached, and nobody else knows of it yet.
    """

    id: int
    quotas: tuple[Quota, ...]
    degraded: bool = False


@attrs.frozen
class Shortage:
    """What ``State.acquire`` gives when a claim does not fit: nothing was taken.

    Args:
        claim: the claim that fits last.
        retry_after_seconds: earliest time at which all claims can fit together.
        quotas: what is left of every counter.
        degraded: as in a grant.
    """

    claim: Claim
    retry_after_seconds: float
    quotas: tuple[Quota, ...]
    degraded: bool = False


class Standing(NamedTuple):
    """How much of a period's counter is spent, and how much more is held for exchanges that have not ended."""

    spent: int
    held: int


class State(Protocol):
    """Counters that many exchanges take from at once; ``memory://`` and ``redis://`` are two of them."""

    @property
    def degraded(self) -> str | None:
        """Why the counters that all gateways share cannot be reached at present; None: they can."""
        ...

    @property
    def gateways(self) -> int:
        """How many gateways take from the same counters, as far as is known."""
        ...

    @property
    def losses(self) -> int:
        """How often the counters may have lost something: they could not be reached, or had begun anew."""
        ...

    @property
    def open_grants(self) -> int:
        """How many grants of this process are not settled: of exchanges under way, and of nothing else."""
        ...

    async def acquire(self, claims: Sequence[Claim]) -> Grant | Shortage:
        """Take all claims in one atomic step, or none of them.

        Raises ``StateError`` when the counters cannot be reached.
        """
        ...

    async def extend(self, grant: Grant, claims: Sequence[Claim]) -> Grant | Shortage | None:
        """Take more on counters of periods that a grant holds, in one atomic step: all claims in full or none.

        The grant keeps its id, and what it holds begins to live anew. None: it was settled, or was never given.
        """
        ...

    async def settle(self, grant: Grant, actual: Mapping[str, int] | None = None) -> None:
        """Give leases back and put real amounts in the place of estimated ones, by claim name.

        A claim without a real amount has taken what it claimed; a negative one counts as 0, so that nothing is ever
        credited. What a period has held until now is spent; what has expired there is spent nevertheless, since it was
        used. Idempotent: a grant that was settled or was never given is left alone.
        """
        ...

    async def resume(self, claims: Sequence[Claim]) -> None:
        """Let counters of periods begin with what was spent before, ``amount``; one that is known stays as it is."""
        ...

    async def make_up(self, claims: Sequence[Claim]) -> None:
        """Let counters of periods have spent ``amount`` at least, which somebody knows; none goes down by it."""
        ...

    async def standings(self, counters: Sequence[str], *, age_seconds: float | None = 0.0) -> Sequence[Standing]:
        """Return how counters of periods stand, one for each; one that nobody has taken from stands at nothing.

        What was seen within ``age_seconds`` needs not be asked for; None: nobody is asked, and what was never seen
        stands at nothing.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; nothing can be acquired after it."""
        ...


def budget_refusal(quota: Quota, retry_after_seconds: float) -> Refusal:
    """Return the 429 for a budget of which ``quota`` tells how it stands, and that has too little left.

    Where it would fit but for what others hold, coming back soon is worth it; otherwise SDKs are told to give up, as
    they would try again within seconds.
    """
    claim, _, _, spent, held = quota
    unit, scale = ("usd", _NANO) if claim.measure is Measure.NANOUSD else (claim.measure.value, 1)
    name = claim.name.removeprefix("budget:").partition(":")[0]
    is_spent = spent + claim.amount > claim.limit
    what = "is exhausted" if is_spent else "is held by exchanges under way"
    detail = (
        f"budget {name!r} {what}: of {_shown(claim.limit, scale)} {unit} {_shown(spent, scale)} are spent and "
        f"{_shown(held, scale)} held, {_shown(claim.amount, scale)} wanted"
    )
    figures = {"limit": claim.limit, "spent": spent, "held": held, "wanted": claim.amount}
    plain = {figure: amount if scale == 1 else amount / scale for figure, amount in figures.items()}
    return refusal(
        "budget_exhausted",
        detail,
        retry_after_seconds=retry_after_seconds,
        rule=name,
        headers=(("x-should-retry", "false"),) if is_spent else (),
        members={"budget": name, "unit": unit, **plain},
    )


def _shown(amount: int, scale: int) -> str:
    """Return an amount for people: tokens whole, dollars with as many digits as it takes to tell them from nothing."""
    if scale == 1:
        return f"{amount:_}"
    return f"{amount / scale:.2f}" if amount % (scale // 100) == 0 else f"{amount / scale:.6f}"
