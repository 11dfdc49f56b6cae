"""``[[plugins.budgets.budget]]``: the budgets as the config writes them, checked as it is loaded.

Knows nothing of exchanges, counters and calendars.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, Literal

import attrs

from aiogate import LARGEST_AMOUNT, Agent, Measure, OnStateError
from aiogate.builtin.estimates import MOST_BYTES
from aiogate.builtin.subjects import Match, Values, as_tuple, is_name, unknown_agents
from aiogate.builtin.zones import zone_of

__all__ = ["SUBJECTS", "BudgetMatch", "BudgetSettings", "BudgetsConfig"]

SUBJECTS: Final = ("principal", "department", "role", "agent", "cost_center", "key")
_NANO: Final = 10**9
_SLICES: Final = 100
"""A slice is such a part of its budget, if that is not much."""
_LARGEST_SLICE: Final = {Measure.NANOUSD: _NANO // 100, Measure.TOKENS: 1000}

Subject = Literal["principal", "department", "role", "agent", "cost_center", "key"]


@attrs.frozen(kw_only=True)
class BudgetMatch(Match):
    """Which exchanges a budget is for: all that is given must fit, and any one value of each fits.

    Args:
        cost_center: of the agent, else of the principal.
    """

    cost_center: Values = attrs.field(default=(), converter=as_tuple)


def _is_money(_owner: object, _attribute: object, usd: Decimal | None) -> None:
    if usd is not None and not 1 <= int(usd * _NANO) <= LARGEST_AMOUNT:
        msg = f"expected more than 0 and at most {LARGEST_AMOUNT // _NANO} dollars, got {usd}"
        raise ValueError(msg)


def _is_amount(_owner: object, _attribute: object, tokens: int | None) -> None:
    if tokens is not None and not 1 <= tokens <= LARGEST_AMOUNT:
        msg = f"expected 1 to {LARGEST_AMOUNT}, got {tokens}"
        raise ValueError(msg)


def _are_shares(_owner: object, _attribute: object, shares: tuple[float, ...]) -> None:
    for share in shares:
        if not 0 < share <= 1:
            msg = f"expected parts of the budget such as 0.8, got {share:g}"
            raise ValueError(msg)


def _is_zone(_owner: object, _attribute: object, name: str) -> None:
    zone_of(name)


@attrs.frozen(kw_only=True)
class BudgetSettings:
    """``[[plugins.budgets.budget]]``: what may be spent in each period, for each combination of ``per``.

    Args:
        name: of the budget, in refusals, headers, metrics and the journal.
        period: hour, day, week (from Monday) or month, by the calendar.
        usd: dollars, to the nano-dollar.
        tokens: of requests and answers; a budget may have both.
        timezone: by which days begin.
        per: what has a counter of its own; with ``role`` an exchange counts once for each of the principal's roles, or
            for those of them that ``match`` names.
        match: which exchanges the budget is for; without it all of them.
        on_exhausted: what becomes of a running stream for which nothing is left: it is cut, or it may finish, and what
            it takes is overdrawn.
        on_state_error: what becomes of its exchanges while Redis cannot be reached; without it what ``[state]`` says.
        warn_at: parts of the budget; once so much is spent, that is logged, and answers say so.
        slice_usd: what a stream holds ahead; without it a hundredth of the budget, at most a cent. Half of it has to
            last for the way to the counters and back, or streams run ahead of what they hold.
        slice_tokens: what a stream holds ahead; without it a hundredth of the budget, at most 1000.
    """

    name: str = attrs.field(validator=is_name)
    period: Literal["hour", "day", "week", "month"]
    usd: Decimal | None = attrs.field(default=None, validator=_is_money)
    tokens: int | None = attrs.field(default=None, validator=_is_amount)
    timezone: str = attrs.field(default="UTC", validator=_is_zone)
    per: tuple[Subject, ...] = ()
    match: BudgetMatch = BudgetMatch()
    on_exhausted: Literal["cut", "finish"] = "cut"
    on_state_error: OnStateError | None = None
    warn_at: tuple[float, ...] = attrs.field(default=(), validator=_are_shares)
    slice_usd: Decimal | None = attrs.field(default=None, validator=_is_money)
    slice_tokens: int | None = attrs.field(default=None, validator=_is_amount)

    def __attrs_post_init__(self) -> None:
        """Refuse a budget of nothing, and slices that are no part of it."""
        if self.usd is None and self.tokens is None:
            msg = "expected usd, tokens or both"
            raise ValueError(msg)
        for measure, limit in self.limits.items():
            if self.slice_of(measure) > limit:
                msg = f"a slice of {measure} is larger than the budget"
                raise ValueError(msg)

    @property
    def limits(self) -> dict[Measure, int]:
        """What may be spent, in nano-dollars and in tokens."""
        usd = None if self.usd is None else int(self.usd * _NANO)
        both = {Measure.NANOUSD: usd, Measure.TOKENS: self.tokens}
        return {measure: limit for measure, limit in both.items() if limit is not None}

    def slice_of(self, measure: Measure) -> int:
        """Return what a stream holds ahead."""
        usd = None if self.slice_usd is None else int(self.slice_usd * _NANO)
        given = usd if measure is Measure.NANOUSD else self.slice_tokens
        return given or max(1, min(self.limits[measure] // _SLICES, _LARGEST_SLICE[measure]))


@attrs.frozen(kw_only=True)
class BudgetsConfig:
    """``[plugins.budgets]``.

    Args:
        budget: the budgets, in any order; an exchange is charged to all that are for it.
        read_body_bytes: so long a JSON body of a request is read before anything is sent, for the tokens that it asks
            for; of a longer one nothing is known. 0: of none.
        hold_seconds: after so long without an end or growth what an exchange holds is free again, as it is dead.
    """

    budget: tuple[BudgetSettings, ...] = attrs.field(default=())
    read_body_bytes: int = attrs.field(
        default=64 * 1024, validator=[attrs.validators.ge(0), attrs.validators.le(MOST_BYTES)]
    )
    hold_seconds: float = attrs.field(default=3600.0, validator=attrs.validators.ge(60.0))

    @budget.validator
    def _names_each_once(self, _attribute: object, budgets: tuple[BudgetSettings, ...]) -> None:
        seen = set[str]()
        for budget in budgets:
            if budget.name in seen:
                msg = f"{budget.name!r} is the name of two budgets"
                raise ValueError(msg)
            seen.add(budget.name)

    def check_agents(self, agents: Mapping[str, Agent]) -> Iterator[tuple[str, str]]:
        """Yield the agents that a budget is for and that there are not."""
        for index, budget in enumerate(self.budget):
            for problem in unknown_agents(budget.match.agent, agents):
                yield f"budget[{index}].match.agent", problem

    def check_enforced(self, enforced: frozenset[str]) -> Iterator[tuple[str, str]]:
        """Yield the budgets of which nobody can ever tell what is spent."""
        for index, budget in enumerate(self.budget):
            if "usage" not in enforced:
                what = "usd" if budget.usd is not None else "tokens"
                yield f"budget[{index}].{what}", 'no plugin in pipeline.plugins finds out what is spent: add "cost"'
