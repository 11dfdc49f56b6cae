"""``[[plugins.cost.allocate]]``: who pays for an exchange, where it is not simply its agent's or its key's cost centre.

For the ``cost`` plugin. Knows nothing of prices::

    [[plugins.cost.allocate]]
    match = { department = "research", agent = ["support", "search"] }
    split = { data = 60, support = 40 }   # percents; or cost_center = "data"

The first entry that fits counts. It is for the records and the reports: budgets go by the cost centre of the agent or
the key itself, for who pays is settled when an agent answers, after their claims.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import attrs

from aiogate import Exchange
from aiogate.builtin.subjects import NOBODY, Match, facts_of, fits, is_name

__all__ = ["Allocation", "shares_of"]

_SUBJECTS: Final = ("principal", "department", "role", "agent", "key")
_WHOLE: Final = 100
_MOST_SHARES: Final = 4

Shares = tuple[tuple[str, float], ...]


@attrs.frozen(kw_only=True)
class Allocation:
    """``[[plugins.cost.allocate]]``: the cost centre, or several with their shares, that exchanges are for.

    Args:
        match: which exchanges; without it all of them.
        cost_center: who pays for all of it.
        split: who pays for how many percent; at most four, together 100, with at most two decimals.
    """

    match: Match = attrs.field(factory=Match)
    cost_center: str | None = attrs.field(default=None, validator=attrs.validators.optional(is_name))
    split: Mapping[str, Decimal] = attrs.field(factory=dict, hash=False)

    @split.validator
    def _is_the_whole(self, attribute: object, split: Mapping[str, Decimal]) -> None:
        for name, percent in split.items():
            is_name(self, attribute, name)
            if percent <= 0 or percent.scaleb(2) % 1:
                msg = f"{name}: expected percents above 0 with at most two decimals, got {percent}"
                raise ValueError(msg)
        if len(split) > _MOST_SHARES:
            msg = f"expected at most {_MOST_SHARES} cost centres, got {len(split)}"
            raise ValueError(msg)
        if split and (whole := sum(split.values())) != _WHOLE:
            msg = f"expected percents that sum up to 100, got {whole}"
            raise ValueError(msg)

    def __attrs_post_init__(self) -> None:
        """Refuse an entry that names nobody, or somebody twice."""
        if bool(self.cost_center) == bool(self.split):
            msg = "expected cost_center or split, one of both"
            raise ValueError(msg)

    def shares(self) -> Shares:
        """Return the cost centres with their percents."""
        if self.cost_center is not None:
            return ((self.cost_center, _WHOLE),)
        return tuple((name, float(percent) if percent % 1 else int(percent)) for name, percent in self.split.items())


def shares_of(exchange: Exchange, entries: tuple[Allocation, ...]) -> Shares:
    """Return who pays for an exchange by the first entry that fits; nothing where none does."""
    facts = facts_of(exchange.principal or NOBODY, exchange.agent)
    return next((entry.shares() for entry in entries if fits(entry.match, _SUBJECTS, facts)), ())
