"""What aiogate is to reach, and whether it has.

Knows which figures are judged and how; not how they are measured or shown.
"""

import math
from collections.abc import Iterator, Sequence

import attrs

from tests.bench.comparison import middle, ratio
from tests.bench.gateways import PLUGGED, UPWARDS
from tests.bench.rounds import Results

__all__ = ["TARGETS", "Judgement", "Target", "judged"]

_DISTURBED_PERCENT = 1.0  # of the time: enough to make a p99
_SATURATED_PERCENT = 90.0


@attrs.frozen(kw_only=True)
class Target:
    """One target: a value of ``of``, or its ratio to ``against``, and the limit it shall keep.

    Args:
        or_times: the name of a gateway and how many times its value will do as well.
        unit: what stands behind a value.
    """

    label: str
    measure: str
    key: str
    limit: float
    against: str = ""
    of: str = "aiogate"
    at_least: bool = False
    or_times: tuple[str, float] | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        """Return the limit for people."""
        sign = ">=" if self.at_least else "<="
        text = f"{sign} {'x' if self.against else ''}{self.limit:,g}{self.unit}"
        return f"{text} or {self.or_times[1]:g} times {self.or_times[0]}'s" if self.or_times else text

    def kept(self, value: float, results: Results) -> bool:
        """Tell whether the value keeps the limit."""
        if self.at_least:
            return value >= self.limit
        times = math.nan
        if self.or_times:
            times = ratio(results, self.measure, self.of, self.or_times[0], self.key)
        return value <= self.limit or (self.or_times is not None and times <= self.or_times[1])


@attrs.frozen(kw_only=True)
class Judgement:
    """What was measured of one target, and the verdict: ``ok``, ``MISSED`` or ``not measured``, with a remark."""

    target: Target
    value: float
    verdict: str

    @property
    def measured(self) -> str:
        """Return the value for people."""
        if math.isnan(self.value):
            return "-"
        return f"x{self.value:.2f}" if self.target.against else f"{self.value:,.2f}{self.target.unit}"


TARGETS: Sequence[Target] = (
    Target(
        label="CPU per small call, of the floor's", measure="call", key="cpu_us_per_call", against="floor", limit=0.5
    ),
    Target(
        label="CPU per SSE chunk, of the floor's", measure="sse", key="cpu_us_per_chunk", against="floor", limit=0.75
    ),
    Target(
        label="calls a second on one core, of Envoy's",
        measure="call",
        key="calls_per_second",
        against="envoy",
        limit=0.9,
        at_least=True,
    ),
    Target(
        label="calls a second on one core, of nginx's",
        measure="call",
        key="calls_per_second",
        against="nginx",
        limit=0.33,
        at_least=True,
    ),
    Target(
        label="CPU per paced SSE chunk, of Envoy's", measure="sse", key="cpu_us_per_chunk", against="envoy", limit=1.0
    ),
    Target(label="added latency at half load, p50", measure="latency", key="added_p50_ms", limit=0.3, unit=" ms"),
    Target(label="added latency at half load, p99", measure="latency", key="added_p99_ms", limit=1.5, unit=" ms"),
    Target(
        label="delay of a chunk at 1,000 streams, p99",
        measure="paced",
        key="delay_p99_ms",
        limit=2,
        or_times=("nginx", 3),
        unit=" ms",
    ),
    Target(label="memory per idle stream", measure="idle", key="uss_kib_per_stream", limit=30, unit=" KiB"),
    Target(label="idle streams open at once", measure="idle", key="streams_open", limit=5000, at_least=True),
    Target(
        label="CPU per call with 20 idle plugins",
        measure="plugins",
        key="cpu_us_per_call",
        of=PLUGGED,
        against="aiogate",
        limit=1.05,
    ),
    Target(
        label="1 GB down, speed of the floor's",
        measure="bulk",
        key="down_mb_per_second",
        against=UPWARDS,
        limit=0.8,
        at_least=True,
    ),
    Target(
        label="1 GB up, speed of the floor's",
        measure="bulk",
        key="up_mb_per_second",
        against=UPWARDS,
        limit=0.8,
        at_least=True,
    ),
    Target(label="1 GB down, growth of memory", measure="bulk", key="down_peak_growth_mb", limit=10, unit=" MB"),
    Target(label="1 GB up, growth of memory", measure="bulk", key="up_peak_growth_mb", limit=10, unit=" MB"),
    Target(label="100,000 calls, growth of memory", measure="rss", key="growth_mb", limit=5, unit=" MB"),
)


def judged(results: Results) -> Sequence[Judgement]:
    """Return what became of every target whose measure was taken."""
    return [_judged(target, results) for target in TARGETS if target.measure in results.figures]


def _judged(target: Target, results: Results) -> Judgement:
    if target.against:
        value = ratio(results, target.measure, target.of, target.against, target.key)
    else:
        value = middle(results, target.measure, target.of, target.key)
    if math.isnan(value):
        return Judgement(target=target, value=value, verdict="not measured")
    verdict = "ok" if target.kept(value, results) else "MISSED"
    return Judgement(target=target, value=value, verdict=", ".join((verdict, *_remarks(target, results))))


def _remarks(target: Target, results: Results) -> Iterator[str]:
    """Say where a neighbour had the gateway's core, or a core was not busy that should have been."""
    if target.unit == " ms" and middle(results, target.measure, target.of, "waited_percent") > _DISTURBED_PERCENT:
        yield "disturbed"
    if target.key.endswith("calls_per_second"):
        for name in (target.of, target.against):
            if middle(results, target.measure, name, "busy_percent") < _SATURATED_PERCENT:
                yield f"{name}'s core was not busy"
