"""What event streams cost and how long an event is under way: each measure takes a trial and gives named figures.

Knows nothing of rounds, medians or targets to meet.
"""

import asyncio
import math

from tests.bench.accounting import Spent
from tests.bench.framing import BenchError
from tests.bench.load import Counted, Load, Running
from tests.bench.questions import CHAT, paced
from tests.bench.trial import Figures, Trial

__all__ = ["mixed", "most", "paced_streams", "sse"]

_FEW_STREAMS, _FEW_EVENTS = 100, 20
# A thousand streams of ten events a second, and five thousand of two, are as many events as the floor can just relay.
_EVENTS_PER_SECOND = 10_000
_MIXED_STREAMS, _MIXED_EVENTS, _MIXED_CALLS_PER_SECOND = 300, 20, 1_500
_LINES_FOR_RANDOM_CALLS = 64
_LEAST_SHARE = 0.9


def _streams(count: int, events: int) -> Load:
    return Load(mode="streams", question=paced(events), connections=count)


def _whole(counted: Counted, events: int, seconds: float) -> Counted:
    """Return what was counted; raises BenchError when a stream has not brought nearly all of its events."""
    least = math.floor(seconds * events * _LEAST_SHARE)
    if counted["least_events"] < least:
        msg = f"a stream brought {counted['least_events']:.0f} events instead of {least} or more"
        raise BenchError(msg)
    return counted


async def _paced(trial: Trial, count: int, events: int) -> tuple[Counted, Spent]:
    """Return what was counted of so many streams of so many events a second, and what they took."""
    seconds = trial.scale.stream_seconds
    async with trial.under(_streams(count, events)) as generator:
        await asyncio.sleep(trial.scale.warm_seconds)
        counted, spent = await trial.window(generator, seconds)
    return _whole(counted, events, seconds), spent


async def sse(trial: Trial) -> Figures:
    """Few paced streams: what one event costs."""
    counted, spent = await _paced(trial, _FEW_STREAMS, _FEW_EVENTS)
    return {"cpu_us_per_chunk": spent.cpu_us / counted["events"], "delay_p99_ms": counted["delay_p99_ns"] / 1e6}


async def paced_streams(trial: Trial) -> Figures:
    """Many paced streams: how long events are under way, and by how much the gaps between them change."""
    return await _delays(trial, trial.scale.many_streams)


async def most(trial: Trial) -> Figures:
    """The same with the most streams."""
    return await _delays(trial, trial.scale.most_streams)


async def _delays(trial: Trial, count: int) -> Figures:
    counted, spent = await _paced(trial, count, _EVENTS_PER_SECOND // count)
    return {
        "delay_p50_ms": counted["delay_p50_ns"] / 1e6,
        "delay_p99_ms": counted["delay_p99_ns"] / 1e6,
        "delay_max_ms": counted["delay_max_ns"] / 1e6,
        "gap_p99_ms": counted["gap_p99_ns"] / 1e6,
        "cpu_us_per_chunk": spent.cpu_us / counted["events"],
        "busy_percent": spent.busy_percent,
        "waited_percent": spent.waited_percent,
    }


async def mixed(trial: Trial) -> Figures:
    """Paced streams and calls at random times, at once: does either make the other wait?"""
    calls = Load(mode="open", question=CHAT, connections=_LINES_FOR_RANDOM_CALLS, per_second=_MIXED_CALLS_PER_SECOND)
    async with trial.under(_streams(_MIXED_STREAMS, _MIXED_EVENTS)) as streaming, trial.under(calls) as calling:
        await asyncio.sleep(trial.scale.warm_seconds)
        of_calls, of_streams, spent = await _both(trial, calling, streaming)
        await calling.stop()
    return {
        "busy_percent": spent.busy_percent,
        "call_p50_ms": of_calls["delay_p50_ns"] / 1e6,
        "call_p99_ms": of_calls["delay_p99_ns"] / 1e6,
        "delay_p99_ms": of_streams["delay_p99_ns"] / 1e6,
        "waited_percent": spent.waited_percent,
    }


async def _both(trial: Trial, calling: Running, streaming: Running) -> tuple[Counted, Counted, Spent]:
    seconds = trial.scale.stream_seconds
    await streaming.mark()
    of_calls, spent = await trial.window(calling, seconds)
    return of_calls, _whole(await streaming.mark(), _MIXED_EVENTS, seconds), spent
