"""What is measured of one target: each measure takes a target and a scale and gives named figures.

Knows the load generator and the accounting; knows nothing of rounds, medians or targets to meet.
"""

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

import attrs

from tests.bench.accounting import Spent, Window, rss_kib
from tests.bench.framing import BenchError
from tests.bench.gateways import Target
from tests.bench.lines import closed_loop, open_loop
from tests.bench.processes import files_allowed, ready
from tests.bench.questions import CHAT, EVENTS_PER_SECOND, FLOOD, IDLE, PACED, UPLOAD
from tests.bench.scale import Scale
from tests.bench.streams import Stream, Streams, open_streams

__all__ = ["FILES_FOR_MOST_STREAMS", "MEASURES", "Figures", "Measure", "warm_up"]

Figures = dict[str, float]

_CALLS_AT_ONCE = 32
_FEW_STREAMS, _MANY_STREAMS = 100, 500
_IDLE_STREAMS, _MOST_STREAMS = 1_000, 5_000
FILES_FOR_MOST_STREAMS = 2 * _MOST_STREAMS + 500  # the gateway's: one towards the client, one towards the agent


@attrs.frozen(kw_only=True)
class Measure:
    """One measure: how it is taken, whether in rounds, and whether of the agent alone too, as the bench's own share.

    ``take`` gets the target, the agent and the scale.
    """

    name: str
    take: Callable[[Target, Target, Scale], Awaitable[Figures]]
    in_rounds: bool = True
    also_direct: bool = False


async def warm_up(target: Target) -> None:
    """Take the costs of a fresh process's first calls and first streams, which no figure shall hold."""
    async with closed_loop(target.port, CHAT, connections=_CALLS_AT_ONCE) as loop:
        await loop.run_calls(500, within_seconds=20)
    async with open_streams(target.port, IDLE) as streams:
        await streams.grow_to(50)


async def _saturated(
    target: Target, request: bytes, connections: int, warm_seconds: float, seconds: float
) -> tuple[int, Spent]:
    """Return how many calls were answered, each sent as soon as the one before was, and what they took."""
    async with closed_loop(target.port, request, connections=connections) as loop:
        await loop.run(warm_seconds)
        before, window = loop.answers, Window(target.session)
        await loop.run(seconds)
        answers, spent = loop.answers - before, window.close()
    if not answers:
        msg = f"nothing was answered within {seconds:g} s"
        raise BenchError(msg)
    return answers, spent


async def _call(target: Target, _agent: Target, scale: Scale) -> Figures:
    """Small calls at saturation, floods of events and large bodies."""
    calls, spent = await _saturated(target, CHAT, _CALLS_AT_ONCE, scale.warm_seconds, scale.call_seconds)
    floods, on_floods = await _saturated(target, FLOOD, 8, 0.1, scale.call_seconds / 4)
    uploads, on_uploads = await _saturated(target, UPLOAD, 4, 0.1, scale.call_seconds / 4)
    return {
        "cpu_us_per_call": spent.cpu_us / calls,
        "calls_per_second": calls / spent.wall_us * 1e6,
        "busy_percent": spent.busy_percent,
        "waited_percent": spent.waited_percent,
        "cpu_us_per_flood": on_floods.cpu_us / floods,
        "cpu_us_per_upload": on_uploads.cpu_us / uploads,
    }


async def _paced(target: Target, count: int, scale: Scale) -> tuple[Sequence[Stream], int, Spent]:
    """Return so many paced streams with what they noted, the number of events, and what they took."""
    async with open_streams(target.port, PACED) as streams:
        await streams.grow_to(count)
        await asyncio.sleep(scale.warm_seconds)
        streams.forget()
        window = Window(target.session)
        await asyncio.sleep(scale.stream_seconds)
        spent = window.close()
        return streams.open, _events(streams.open, scale.stream_seconds), spent


def _events(streams: Sequence[Stream], seconds: float) -> int:
    """Return the events that came; raises BenchError when a stream was lost or a tenth of its events is missing."""
    least = math.floor(seconds * EVENTS_PER_SECOND * 0.9)
    for stream in streams:
        if stream.lost or len(stream.came_ns) < least:
            broken = ", then broke" if stream.lost else ""
            msg = f"a stream brought {len(stream.came_ns)} events instead of {least} or more{broken}"
            raise BenchError(msg)
    return sum(len(stream.came_ns) for stream in streams)


async def _sse(target: Target, _agent: Target, scale: Scale) -> Figures:
    """Few paced streams: what one event costs."""
    _, events, spent = await _paced(target, _FEW_STREAMS, scale)
    return {"cpu_us_per_chunk": spent.cpu_us / events}


async def _gap(target: Target, _agent: Target, scale: Scale) -> Figures:
    """Many paced streams: how long events are under way, and by how much the gaps between them change."""
    streams, events, spent = await _paced(target, _MANY_STREAMS, scale)
    by_stream = [[came - sent for sent, came in zip(each.sent_ns, each.came_ns, strict=True)] for each in streams]
    delays = [delay for delays in by_stream for delay in delays]
    gaps = [abs(later - sooner) for delays in by_stream for sooner, later in pairwise(delays)]
    return {
        "gap_p50_ms": _quantile_ms(gaps, 0.50),
        "gap_p99_ms": _quantile_ms(gaps, 0.99),
        "delay_p50_ms": _quantile_ms(delays, 0.50),
        "delay_p99_ms": _quantile_ms(delays, 0.99),
        "cpu_us_per_chunk": spent.cpu_us / events,
        "waited_percent": spent.waited_percent,
    }


async def _latency(target: Target, agent: Target, scale: Scale) -> Figures:
    """Calls at half of the target's own maximum rate, beside the same calls at the same rate without a gateway."""
    calls, spent = await _saturated(target, CHAT, _CALLS_AT_ONCE, 0.2, scale.probe_seconds)
    rate = calls / spent.wall_us * 1e6 / 2
    direct = await open_loop(agent.port, CHAT, per_second=rate, seconds=scale.latency_seconds, connections=64)
    window = Window(target.session)
    through = await open_loop(target.port, CHAT, per_second=rate, seconds=scale.latency_seconds, connections=64)
    return {
        "added_p50_ms": _quantile_ms(through, 0.50) - _quantile_ms(direct, 0.50),
        "added_p99_ms": _quantile_ms(through, 0.99) - _quantile_ms(direct, 0.99),
        "direct_p99_ms": _quantile_ms(direct, 0.99),
        "at_calls_per_second": rate,
        "waited_percent": window.close().waited_percent,
    }


async def _idle(target: Target, _agent: Target, _scale: Scale) -> Figures:
    """Streams that are open and silent: what each holds in memory, and how many open."""
    before_kib = rss_kib(target.session)
    async with open_streams(target.port, IDLE) as streams:
        await streams.grow_to(_IDLE_STREAMS)
        figures: Figures = {"kib_per_stream": (rss_kib(target.session) - before_kib) / _IDLE_STREAMS}
        if files_allowed() >= FILES_FOR_MOST_STREAMS:
            figures["streams_open"] = await _open_most(target, streams)
    return figures


async def _open_most(target: Target, streams: Streams) -> int:
    """Return how many streams are open at once, having tried all, and that the target still answers others."""
    try:
        await streams.grow_to(_MOST_STREAMS)
    except BenchError as error:
        print(f"{target.name}: {len(streams.open)} of {_MOST_STREAMS} streams opened: {error}", file=sys.stderr)
    await ready(target.child, target.port)
    return sum(not stream.lost for stream in streams.open)


async def _rss(target: Target, _agent: Target, scale: Scale) -> Figures:
    """What many calls leave behind in memory."""
    async with closed_loop(target.port, CHAT, connections=_CALLS_AT_ONCE) as loop:
        await loop.run_calls(scale.warm_calls, within_seconds=scale.at_most_seconds)
        before_kib = rss_kib(target.session)
        await loop.run_calls(scale.rss_calls, within_seconds=scale.at_most_seconds)
        after_kib = rss_kib(target.session)
    return {
        "before_mb": before_kib * 1024 / 1e6,
        "after_mb": after_kib * 1024 / 1e6,
        "growth_mb": (after_kib - before_kib) * 1024 / 1e6,
    }


def _quantile_ms(nanoseconds: Sequence[int], share: float) -> float:
    return sorted(nanoseconds)[min(len(nanoseconds) - 1, int(len(nanoseconds) * share))] / 1e6


MEASURES = (
    Measure(name="call", take=_call, also_direct=True),
    Measure(name="sse", take=_sse),
    Measure(name="latency", take=_latency),
    Measure(name="gap", take=_gap, also_direct=True),
    Measure(name="idle", take=_idle, in_rounds=False),
    Measure(name="rss", take=_rss, in_rounds=False),
)
