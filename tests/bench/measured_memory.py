"""What streams, calls and large bodies leave in memory: each measure takes a trial and gives named figures.

Knows nothing of rounds, medians or targets to meet.
"""

import math
import time

from tests.bench.accounting import Window, forget_peak, memory
from tests.bench.load import Load
from tests.bench.processes import files_allowed
from tests.bench.questions import CHAT, IDLE, Question, download, upload
from tests.bench.trial import Figures, Trial

__all__ = ["FILES_PER_STREAM", "MOST_STREAMS", "SPARE_FILES", "bulk", "idle", "rss"]

FILES_PER_STREAM = 2  # the gateway's: one towards the client, one towards the agent
SPARE_FILES = 500
MOST_STREAMS = 5_000  # fewer do not show that so many can be open

_CALLS_AT_ONCE = 32
_KIB_TO_MB = 1024 / 1e6


async def idle(trial: Trial) -> Figures:
    """Streams that are open and silent: what each holds in memory, and how many open."""
    count = min(trial.scale.idle_streams, (files_allowed() - SPARE_FILES) // FILES_PER_STREAM)
    before = memory(trial.target.session)
    began = time.monotonic()
    async with trial.under(Load(mode="streams", question=IDLE, connections=count)):
        opened_seconds = time.monotonic() - began
        after = memory(trial.target.session)
        await trial.calls(CHAT, 1, 1)  # others are still answered
    return {
        "uss_kib_per_stream": (after.uss_kib - before.uss_kib) / count,
        "rss_kib_per_stream": (after.rss_kib - before.rss_kib) / count,
        "streams_open": count if count >= MOST_STREAMS else math.nan,
        "opened_per_second": count / opened_seconds,
    }


async def rss(trial: Trial) -> Figures:
    """What many calls leave behind in memory."""
    await trial.calls(CHAT, _CALLS_AT_ONCE, trial.scale.warm_calls)
    before = memory(trial.target.session)
    await trial.calls(CHAT, _CALLS_AT_ONCE, trial.scale.rss_calls)
    after = memory(trial.target.session)
    return {
        "before_mb": before.rss_kib * _KIB_TO_MB,
        "after_mb": after.rss_kib * _KIB_TO_MB,
        "growth_mb": (after.rss_kib - before.rss_kib) * _KIB_TO_MB,
    }


async def bulk(trial: Trial) -> Figures:
    """One very large body down, then one up: how fast, and by how much memory grows meanwhile."""
    size = trial.scale.bulk_bytes
    down = await _bulk(trial, download(size), size)
    up = await _bulk(trial, upload(size), size)
    return {
        f"{way}_{name}": figure for way, figures in (("down", down), ("up", up)) for name, figure in figures.items()
    }


async def _bulk(trial: Trial, question: Question, size: int) -> Figures:
    forget_peak(trial.target.session)
    before, window = memory(trial.target.session), Window(trial.target.session)
    counted = await trial.calls(question, 1, 1)
    spent, after = window.close(), memory(trial.target.session)
    return {
        "mb_per_second": size / counted["wall_ns"] * 1e3,
        "cpu_ms_per_gb": spent.cpu_us / size * 1e6,
        "peak_growth_mb": (after.peak_kib - before.rss_kib) * _KIB_TO_MB,
    }
