"""The counters of the budgets: which ones an exchange is charged to, in the period that it began in.

For the plugin. Counting is the state's business; what is known of a counter beside goes on through reloads.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import Final

import attrs

from aiogate import Agent, Claim, Counted, Measure, Period, Principal
from aiogate.builtin.budgets.periods import period_at
from aiogate.builtin.budgets.settings import SUBJECTS, BudgetsConfig, BudgetSettings
from aiogate.builtin.subjects import Facts, combinations, facts_of, fits
from aiogate.builtin.zones import zone_of

__all__ = ["Account", "Accounts", "BudgetReport"]

_KEPT: Final = 10_000
_Values = tuple[str | None, ...]


@attrs.frozen(kw_only=True)
class BudgetReport:
    """How one counter of a budget stands.

    Args:
        unit: ``usd``, with the amounts in nano-dollars, or ``tokens``.
        per: what has this counter of its own.
        held: for exchanges that have not ended, beside what is spent.
        warned_at: the threshold that was reached, 0.0: none.
    """

    budget: str
    unit: str
    per: Mapping[str, str | None]
    limit: int
    spent: int
    held: int
    period_starts: float
    period_ends: float
    warned_at: float = 0.0

    @property
    def share(self) -> float:
        """What is spent and held, as a part of the budget."""
        return (self.spent + self.held) / self.limit


@attrs.define(eq=False)
class Notes:
    """What was said of a counter already, once in its period."""

    warned: float = 0.0
    overdrawn: bool = False


@attrs.define(eq=False)
class Account:
    """One counter of one budget: for one combination, in one period, of money or of tokens."""

    budget: BudgetSettings
    values: _Values
    claim: Claim
    period: Period
    notes: Notes
    slice: int
    """What a stream holds ahead."""

    def claimed(self, amount: int, least: int | None = None) -> Claim:
        """Return the claim on so much, or on what is left of it where that is not less than ``least``."""
        of = self.claim
        whose, period, else_what = (of.name, of.counter, of.kind), of.period, of.on_state_error
        return Claim(*whose, of.limit, of.seconds, amount, of.measure, period, else_what, None, least)

    def report(self, spent: int, held: int) -> BudgetReport:
        """Return how the counter stands."""
        return BudgetReport(
            budget=self.budget.name,
            unit="usd" if self.claim.measure is Measure.NANOUSD else "tokens",
            per=dict(zip(self.budget.per, self.values, strict=True)),
            limit=self.claim.limit,
            spent=spent,
            held=held,
            period_starts=self.period.starts,
            period_ends=self.period.ends,
            warned_at=self.notes.warned,
        )


_Kept = tuple[Principal, Agent | None, tuple[Account, ...], Period]
"""Whom the accounts are for, kept alive so that nobody else gets its id, and while when they are the ones."""


@attrs.define(eq=False)
class Accounts:
    """The accounts that anybody was charged to in this period."""

    config: BudgetsConfig
    _zones: dict[str, tzinfo] = attrs.field(factory=dict)
    _open: dict[str, Account] = attrs.field(factory=dict)
    """By counter."""
    _kept: dict[tuple[int, str], _Kept] = attrs.field(factory=dict)
    _swept: float = 0.0

    def inherit(self, before: "Accounts") -> None:
        """Go on with the accounts of another config, as far as the budgets are still there; limits are the new ones."""
        budgets = {budget.name: budget for budget in self.config.budget}
        for account in before:
            budget = budgets.get(account.budget.name)
            if budget is None or budget.per != account.budget.per:
                continue
            if self.period(budget, account.period.starts) == account.period and account.claim.measure in budget.limits:
                self.account(budget, account.claim.measure, account.values, account.period).notes = account.notes

    def __iter__(self) -> Iterator[Account]:
        """Yield the accounts."""
        return iter(tuple(self._open.values()))

    def get(self, counter: str) -> Account | None:
        """Return the account of a counter."""
        return self._open.get(counter)

    def of(self, principal: Principal, agent: Agent | None, wall: float) -> tuple[Account, ...]:
        """Return what an exchange is charged to that began at a moment; without an agent, what is known before."""
        place = (id(principal), "" if agent is None else agent.id)
        kept = self._kept.get(place)
        if kept is not None and kept[1] is agent and kept[3].starts <= wall < kept[3].ends:
            return kept[2]
        facts = facts_of(principal, agent)
        found = tuple(self._found(facts, wall))
        starts = max((account.period.starts for account in found), default=float("-inf"))
        ends = min((account.period.ends for account in found), default=float("inf"))
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[place] = principal, agent, found, Period(starts, ends)
        return found

    def _found(self, facts: Facts, wall: float) -> Iterator[Account]:
        for budget in self.config.budget:
            period = self.period(budget, wall)
            for values in self.charged(budget, facts):
                for measure in budget.limits:
                    yield self.account(budget, measure, values, period)

    def charged(self, budget: BudgetSettings, facts: Facts) -> Iterable[_Values]:
        """Return the combinations of a budget that somebody is charged to."""
        if not fits(budget.match, SUBJECTS, facts):
            return ()
        return combinations(budget.per, budget.match.role, facts)

    def period(self, budget: BudgetSettings, wall: float) -> Period:
        """Return the period of a budget that a moment is in."""
        zone = self._zones.get(budget.timezone)
        if zone is None:
            zone = self._zones[budget.timezone] = zone_of(budget.timezone)
        return period_at(budget.period, zone, wall)

    def account(self, budget: BudgetSettings, measure: Measure, values: _Values, period: Period) -> Account:
        """Return the account for a combination, open it if there is none."""
        # The repr of a tuple keeps ("a:b", "c") and ("a", "b:c") apart, whatever anybody is called. The limit is no
        # part of it, so that a reload with another one forgets nothing.
        counter = f"period:{(budget.name, str(measure), budget.per, *period, values)!r}"
        account = self._open.get(counter)
        if account is None:
            self._sweep(period)
            name = f"budget:{budget.name}" if len(budget.limits) == 1 else f"budget:{budget.name}:{measure}"
            limit, seconds = budget.limits[measure], self.config.hold_seconds
            kind, else_what = Counted.PERIOD, budget.on_state_error
            claim = Claim(name, counter, kind, limit, seconds, 1, measure, period, else_what)
            account = self._open[counter] = Account(budget, values, claim, period, Notes(), budget.slice_of(measure))
        return account

    def _sweep(self, begun: Period) -> None:
        """Forget the accounts of periods that are over, each time that another period has begun."""
        if begun.starts > self._swept:
            self._swept = begun.starts
            over = [counter for counter, account in self._open.items() if account.period.ends < begun.starts]
            for counter in over:
                del self._open[counter]
