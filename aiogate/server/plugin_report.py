"""How long plugins take in their hooks and how often they fail, as metrics; by samples."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily

from aiogate.server.generation import Generation

__all__ = ["plugin_metrics"]


def plugin_metrics(generation: Generation) -> Iterator[Metric]:
    """Yield them for the plugins in force."""
    times = generation.pipeline.times
    what = "What hooks of plugins took, of a sample of their calls: what they wait for counts."
    spent = SummaryMetricFamily("aiogate_plugin_hook_seconds", what, labels=["plugin", "hook"])
    for (plugin, hook), known in times.spent.items():
        spent.add_metric([plugin, hook], count_value=known.calls, sum_value=known.seconds)
    what = "Times that a plugin has raised."
    errors = CounterMetricFamily("aiogate_plugin_errors", what, labels=["plugin", "hook"])
    for (plugin, hook), times_raised in times.errors.items():
        errors.add_metric([plugin, hook], times_raised)
    yield from (spent, errors)
