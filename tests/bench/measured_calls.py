"""What calls cost and how long they take: each measure takes a trial and gives named figures.

Knows nothing of rounds, medians or targets to meet.
"""

from tests.bench.load import Load
from tests.bench.questions import CHAT, CHURN, EVENTS_PER_FLOOD, FLOOD, LONG, MEGABYTES
from tests.bench.trial import Figures, Trial

__all__ = ["bodies", "call", "churn", "flood", "latency", "short_call"]

_CALLS_AT_ONCE = 32
_LARGE_CALLS_AT_ONCE = 4
_FLOODS_AT_ONCE = 8
_LINES_FOR_RANDOM_CALLS = 64


async def call(trial: Trial) -> Figures:
    """Small calls at saturation."""
    return await _call(trial, trial.scale.call_seconds)


async def short_call(trial: Trial) -> Figures:
    """The same for less long, to be taken the more often: what disturbs soon passes."""
    return await _call(trial, trial.scale.short_seconds)


async def _call(trial: Trial, seconds: float) -> Figures:
    calls, spent = await trial.saturated(CHAT, _CALLS_AT_ONCE, seconds)
    return {
        "cpu_us_per_call": spent.cpu_us / calls,
        "calls_per_second": calls / spent.wall_us * 1e6,
        "busy_percent": spent.busy_percent,
        "waited_percent": spent.waited_percent,
    }


async def bodies(trial: Trial) -> Figures:
    """20 kB up and down, then a megabyte up and down, at saturation."""
    long, on_long = await trial.saturated(LONG, _CALLS_AT_ONCE, trial.scale.short_seconds)
    large, on_large = await trial.saturated(MEGABYTES, _LARGE_CALLS_AT_ONCE, trial.scale.short_seconds)
    return {
        "cpu_us_per_20_kb": on_long.cpu_us / long,
        "cpu_us_per_megabyte": on_large.cpu_us / large,
        "megabytes_per_second": large / on_large.wall_us * 1e6,
    }


async def flood(trial: Trial) -> Figures:
    """Event streams at full speed."""
    floods, spent = await trial.saturated(FLOOD, _FLOODS_AT_ONCE, trial.scale.short_seconds)
    return {
        "cpu_us_per_flood": spent.cpu_us / floods,
        "events_per_second": floods * EVENTS_PER_FLOOD / spent.wall_us * 1e6,
    }


async def churn(trial: Trial) -> Figures:
    """Small calls, each on a new connection."""
    calls, spent = await trial.saturated(CHURN, _CALLS_AT_ONCE, trial.scale.short_seconds, churn=True)
    return {
        "cpu_us_per_connection": spent.cpu_us / calls,
        "connections_per_second": calls / spent.wall_us * 1e6,
    }


async def latency(trial: Trial) -> Figures:
    """Calls at half of the target's own maximum rate, beside the same calls at the same rate without a gateway."""
    calls, spent = await trial.saturated(CHAT, _CALLS_AT_ONCE, trial.scale.probe_seconds)
    rate = calls / spent.wall_us * 1e6 / 2
    load = Load(mode="open", question=CHAT, connections=_LINES_FOR_RANDOM_CALLS, per_second=rate)
    direct = await trial.without_gateway(load, trial.scale.latency_seconds)
    async with trial.under(load) as generator:
        through, spent = await trial.window(generator, trial.scale.latency_seconds)
        await generator.stop()
    return {
        "added_p50_ms": (through["delay_p50_ns"] - direct["delay_p50_ns"]) / 1e6,
        "added_p99_ms": (through["delay_p99_ns"] - direct["delay_p99_ns"]) / 1e6,
        "direct_p99_ms": direct["delay_p99_ns"] / 1e6,
        "at_calls_per_second": rate,
        "waited_percent": spent.waited_percent,
    }
