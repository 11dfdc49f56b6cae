"""``budgets``: how much money or how many tokens may be spent in a calendar period, and by whom.

    [[plugins.budgets.budget]]
    name = "data-team"
    per = ["department"]                 # one counter per department; without it one for everybody
    usd = 500
    period = "month"                     # hour, day, week (from Monday), month
    timezone = "Europe/Berlin"           # UTC without it
    warn_at = [0.8, 0.95]                # a line in the log once, a header on answers, a metric

    [[plugins.budgets.budget]]
    name = "alice-tokens"
    match = { principal = "alice" }
    tokens = 200_000                     # of requests and answers
    period = "day"
    on_exhausted = "finish"              # a stream goes on to its end; "cut" ends it where the money does

An exchange holds an estimate before anything is sent: what its request asks for (``max_tokens``), else what the agent's
exchanges have used lately; of a stream one slice, and another one each time that half of the last is used, ahead of the
chunks, which never wait. When it has ended, what its record says is spent and the rest is given back. Where there is
nothing left, requests get 429 ``budget_exhausted`` until the period ends.

The order in ``pipeline.plugins``: behind the plugins that authenticate; before ``policies``, whose
``usage.budget_share`` is known from here on; ``cost`` is needed too, its place does not matter. A budget counts what
the journal says, and begins there when the gateway starts, where gateways share a ``[state]`` what all journals say:
usage that is unknown, and money that has no price, are not in it. Roles are not in the journal; after a restart those
count that a principal has now. Uses public names alone.
"""

from aiogate.builtin.budgets.accounts import BudgetReport
from aiogate.builtin.budgets.plugin import Budgets
from aiogate.builtin.budgets.settings import BudgetMatch, BudgetsConfig, BudgetSettings

__all__ = ["BudgetMatch", "BudgetReport", "BudgetSettings", "Budgets", "BudgetsConfig"]
