"""``python -m tests.bench.soak``: load, faults and hang-ups for minutes; then everything has to be as it was.

Exit status 0 when nothing is left, 1 with a list of what is.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import attrs
import uvloop

from tests.bench.processes import Cores, files_allowed
from tests.bench.soak.agents import bad_agents, good_agent
from tests.bench.soak.callers import Callers
from tests.bench.soak.gateway import KEY, Gateway, running_gateway

_GAUGES: Final = ("aiogate_open_exchanges", "aiogate_open_grants", "aiogate_connections", "aiogate_tasks")
_QUIET_SECONDS: Final = 30
_LEAST_WINDOW_SECONDS: Final = 60
"""In less time the memory of a process says nothing."""
_ALLOWED_SHARE: Final = 0.02


@attrs.frozen(kw_only=True)
class Result:
    """One run. ``samples`` are seconds since its beginning, and KiB; ``wrong`` is what should not be so."""

    callers: Callers
    samples: Sequence[tuple[float, int]]
    before: Counter[str]
    after: Counter[str]
    records: int
    wrong: Sequence[str]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of load (600)")
    parser.add_argument("--streams", type=int, default=500, help="open at any moment (500)")
    parser.add_argument("--rate", type=float, default=300.0, help="calls a second (300)")
    return parser.parse_args()


async def _soak(options: argparse.Namespace, directory: Path) -> Result:
    async with good_agent() as good, bad_agents() as bad:
        async with running_gateway(directory, Cores.of_this_machine().gateway, good, bad) as gateway:
            async with aiohttp.ClientSession() as session:
                before = await gateway.figures(session)
                callers = Callers(url=gateway.url, key=KEY, faults=sorted(bad))
                samples: list[tuple[float, int]] = []
                sampling = asyncio.create_task(_sample(gateway, samples))
                await callers.run(options.streams, options.rate, options.seconds)
                sampling.cancel()
                after = await _quiet(gateway, session)
        wrong = [*_left(before, after), *_records(gateway, callers, after), *_slope(samples, options.seconds)]
        if "Traceback" in (said := gateway.said):
            wrong.append("a traceback in the log:\n" + said[said.index("Traceback") :][:2000])
    records = sum(1 for _ in gateway.request_ids())
    return Result(callers=callers, samples=samples, before=before, after=after, records=records, wrong=wrong)


async def _sample(gateway: Gateway, samples: "list[tuple[float, int]]") -> None:
    begun = asyncio.get_running_loop().time()
    while True:
        samples.append((asyncio.get_running_loop().time() - begun, gateway.rss_kib()))
        await asyncio.sleep(1)


async def _quiet(gateway: Gateway, session: aiohttp.ClientSession) -> "Counter[str]":
    """Wait until nothing is under way, or for half a minute; return the figures then."""
    figures = await gateway.figures(session)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_QUIET_SECONDS):
            while any(figures[name] for name in _GAUGES[:3]):
                await asyncio.sleep(0.2)
                figures = await gateway.figures(session)
    return figures


def _left(before: "Counter[str]", after: "Counter[str]") -> Iterator[str]:
    for name in _GAUGES:
        if after[name] > before[name]:
            yield f"{name} is {after[name]:g} and was {before[name]:g}"


def _records(gateway: Gateway, callers: Callers, after: "Counter[str]") -> Iterator[str]:
    """Hold the journal to what the gateway has counted and to what clients were told."""
    recorded = Counter(gateway.request_ids())
    if recorded.total() != after["aiogate_exchanges_total"]:
        yield f"{recorded.total()} records of {after['aiogate_exchanges_total']:g} exchanges"
    if twice := recorded.total() - len(recorded):
        yield f"{twice} exchanges have more than one record"
    if missing := set(callers.answered) - set(recorded):
        yield f"{len(missing)} exchanges have an answer and no record"


def _fitted(samples: Sequence[tuple[float, int]], seconds: float) -> tuple[float, float, float]:
    """Return the growth in KiB over the window behind the warm-up, by least squares, its length, and the mean."""
    warm = max(20.0, seconds / 4)
    window = [sample for sample in samples if sample[0] >= warm]
    if len(window) < 2:
        return 0.0, 0.0, 0.0
    slope = statistics.linear_regression(*zip(*window, strict=True)).slope
    length = window[-1][0] - window[0][0]
    return slope * length, length, statistics.fmean(rss for _, rss in window)


def _slope(samples: Sequence[tuple[float, int]], seconds: float) -> Iterator[str]:
    growth, length, mean = _fitted(samples, seconds)
    if length >= _LEAST_WINDOW_SECONDS and growth > _ALLOWED_SHARE * mean:
        yield f"memory grew by {growth:,.0f} KiB in {length:.0f} s, of {mean:,.0f} KiB"


def _report(result: Result, options: argparse.Namespace) -> None:
    growth, length, mean = _fitted(result.samples, options.seconds)
    for end, count in sorted(result.callers.ends.items()):
        print(f"{count:9,}  {end}")
    print(f"{result.after['aiogate_exchanges_total']:9,.0f}  exchanges, {result.records:,} records")
    print(f"memory   {mean:,.0f} KiB on an average, {growth:+,.0f} KiB in the {length:.0f} s behind the warm-up")
    step = max(1, len(result.samples) // 12)
    print("         ", "  ".join(f"{rss // 1024} MiB at {second:.0f} s" for second, rss in result.samples[::step]))
    print("at rest  ", ", ".join(f"{name.removeprefix('aiogate_')} {result.after[name]:g}" for name in _GAUGES))
    for wrong in result.wrong:
        print(f"WRONG    {wrong}", file=sys.stderr)


def main() -> int:
    """Run the soak; return the exit status."""
    options = _options()
    files_allowed()
    with tempfile.TemporaryDirectory(prefix="aiogate-soak-") as made:
        result = uvloop.run(_soak(options, Path(made)))
    _report(result, options)
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
