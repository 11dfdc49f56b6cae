"""How the limits stand that somebody has taken from lately, for operators. For ``limits``.

The counters are asked what is left of them by claims that can never be granted together: a state that takes all or
nothing takes nothing, and says how each counter stands.
"""

import ast
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from aiogate import Claim, Counted, Quota, Shortage, State

__all__ = ["LimitReport", "limit_reports"]

_AT_ONCE: Final = 50
_NEVER: Final = Claim("never", "window:('never',)", Counted.WINDOW, 1, 366 * 86400.0, amount=2)
"""Asks for two of what there is one of, in a time that is longer than any limit's."""


@attrs.frozen(kw_only=True)
class LimitReport:
    """One counter.

    Args:
        name: the limit's.
        per: whose counter it is.
        seconds: of the window; None: it is of what is open at once.
        left: until somebody is refused.
        reset_seconds: until there is more left than now; 0: it is all there.
    """

    name: str
    per: Mapping[str, str | None] = attrs.field(hash=False)
    unit: str
    limit: int
    seconds: float | None
    left: int
    reset_seconds: float


async def limit_reports(
    claims: Iterable[Claim], subjects: Mapping[str, tuple[str, ...]], state: State
) -> list[LimitReport]:
    """Return how the counters of claims stand, each once; raises ``StateError``.

    ``subjects`` are what the limits of the config are counted per, by their names; an agent's own are counted per
    principal and agent.
    """
    asked = list({claim.counter: claim for claim in claims}.values())
    found = list[LimitReport]()
    for begin in range(0, len(asked), _AT_ONCE):
        decision = await state.acquire([*asked[begin : begin + _AT_ONCE], _NEVER])
        if isinstance(decision, Shortage):
            found += [_report(quota, subjects) for quota in decision.quotas if quota.claim is not _NEVER]
        else:  # nobody counts at present, and whatever is asked for is granted
            await state.settle(decision)
    return found


def _report(quota: Quota, subjects: Mapping[str, tuple[str, ...]]) -> LimitReport:
    claim = quota.claim
    kind, *values = ast.literal_eval(claim.counter[claim.counter.index("(") :])
    if kind == "limit":
        name, *values = values
        names = subjects.get(name, ())
    else:
        name, names = claim.name, ("principal", "agent")
    return LimitReport(
        name=claim.name,
        per=dict(zip(names, values, strict=False)),
        unit=str(claim.measure),
        limit=claim.limit,
        seconds=None if claim.kind is Counted.LEASE else claim.seconds,
        left=quota.remaining,
        reset_seconds=0.0 if quota.remaining >= claim.limit else round(quota.reset_seconds, 1),
    )
