"""What the plugins know of budgets, for operators: as a list and as metrics.

A plugin that keeps budgets has a method ``async budgets()``. Knows none by its name.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, Metric

from aiogate.server.generation import Generation

__all__ = ["budget_metrics", "budgets_of", "plain_budget", "tightest"]

_MOST: Final = 20
_NANO: Final = 1e-9


async def budgets_of(generation: Generation) -> list[Any]:
    """Return how the counters of all budgets stand."""
    found = []
    for plugin in generation.pipeline.plugins.values():
        if (budgets := getattr(plugin, "budgets", None)) is not None:
            found += await budgets()
    return found


def plain_budget(report: Any) -> dict[str, Any]:  # noqa: ANN401 - a plugin's own report
    """Return a counter as the list has it; money is in nano-dollars."""
    unit = "nanousd" if report.unit == "usd" else report.unit
    return {
        "budget": report.budget,
        "unit": unit,
        "per": dict(report.per),
        "limit": report.limit,
        "spent": report.spent,
        "held": report.held,
        "share": round(report.share, 6),
        "warned_at": report.warned_at or None,
        "period_starts": _time(report.period_starts),
        "period_ends": _time(report.period_ends),
    }


def tightest(reports: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the counters that have least left, as the list has them."""
    return [plain_budget(report) for report in sorted(reports, key=lambda one: -one.share)[:_MOST]]


def budget_metrics(reports: Sequence[Any]) -> Iterator[Metric]:
    """Yield the gauges: sums of all counters of a budget, and how the tightest of them stands."""
    names = ["budget", "unit"]
    spent = GaugeMetricFamily("aiogate_budget_spent", "Spent in the present period, dollars or tokens.", labels=names)
    held = GaugeMetricFamily("aiogate_budget_held", "Held for exchanges under way, likewise.", labels=names)
    limit = GaugeMetricFamily("aiogate_budget_limit", "Of each counter of the budget, likewise.", labels=names)
    share = GaugeMetricFamily("aiogate_budget_share", "Of the tightest counter, spent and held.", labels=names)
    warned = GaugeMetricFamily("aiogate_budget_warned", "Counters that have reached a threshold.", labels=names)
    grouped: dict[tuple[str, str], list[Any]] = {}
    for report in reports:
        grouped.setdefault((report.budget, report.unit), []).append(report)
    for labels, group in grouped.items():
        scale = _NANO if labels[1] == "usd" else 1
        spent.add_metric(labels, sum(report.spent for report in group) * scale)
        held.add_metric(labels, sum(report.held for report in group) * scale)
        limit.add_metric(labels, group[0].limit * scale)
        share.add_metric(labels, max(report.share for report in group))
        warned.add_metric(labels, sum(report.warned_at > 0 for report in group))
    yield from (spent, held, limit, share, warned) if grouped else ()


def _time(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat().replace("+00:00", "Z")
