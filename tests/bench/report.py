"""What the figures mean: labels, targets, medians over rounds, the table and the JSON.

Knows nothing of how a figure was measured. A ratio is the median of the rounds' ratios: what disturbs one round
disturbs both gateways of it.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Literal

import attrs

from tests.bench.gateways import DIRECT
from tests.bench.measures import Figures

__all__ = ["Results", "as_json", "as_table"]

_DISTURBED_PERCENT = 1.0  # of the time: enough to make a p99

# By measure and target: the figures of each round.
Results = Mapping[str, Mapping[str, Sequence[Figures]]]


@attrs.frozen(kw_only=True)
class Row:
    """One figure: what it is, what of it is judged, and the limit that aiogate shall meet."""

    key: str
    label: str
    digits: int = 2
    judged: Literal["ratio", "difference", "value"] = "ratio"
    limit: float = math.nan
    at_least: bool = False

    def verdict(self, judged: float) -> str:
        """Return ``ok`` or ``MISSED``, or nothing where there is no limit or no figure."""
        if math.isnan(self.limit) or math.isnan(judged):
            return ""
        return "ok" if (judged >= self.limit if self.at_least else judged <= self.limit) else "MISSED"

    @property
    def target(self) -> str:
        """Return the limit for people."""
        if math.isnan(self.limit):
            return ""
        sign = {"ratio": "x", "difference": "+", "value": ""}[self.judged]
        return f"{'>=' if self.at_least else '<='} {sign}{self.limit:,g}"


_ROWS: Mapping[str, Sequence[Row]] = {
    "call": (
        Row(key="cpu_us_per_call", label="CPU µs per call", digits=1, limit=1.25),
        Row(key="calls_per_second", label="calls a second at saturation", digits=0),
        Row(key="busy_percent", label="  its core busy, %", digits=0, judged="value"),
        Row(key="waited_percent", label="  waited for its core, %", digits=1, judged="value"),
        Row(key="cpu_us_per_flood", label="CPU µs per 1,000 events at once", digits=0),
        Row(key="cpu_us_per_upload", label="CPU µs per megabyte up and down", digits=0),
    ),
    "sse": (Row(key="cpu_us_per_chunk", label="CPU µs per chunk, 100 streams", digits=1, limit=1.10),),
    "latency": (
        Row(key="added_p50_ms", label="added p50 ms at half of max rate", judged="value"),
        Row(key="added_p99_ms", label="added p99 ms at half of max rate", judged="value", limit=3),
        Row(key="direct_p99_ms", label="  p99 ms without a gateway", judged="value"),
        Row(key="at_calls_per_second", label="  at calls a second", digits=0, judged="value"),
        Row(key="waited_percent", label="  waited for its core, %", digits=1, judged="value"),
    ),
    "gap": (
        Row(key="gap_p50_ms", label="gap p50 ms, 500 streams", digits=3, judged="value"),
        Row(key="gap_p99_ms", label="gap p99 ms, 500 streams", digits=3, judged="value", limit=2),
        Row(key="delay_p50_ms", label="delay p50 ms, 500 streams", digits=3, judged="value"),
        Row(key="delay_p99_ms", label="delay p99 ms, 500 streams", digits=3, judged="value"),
        Row(key="waited_percent", label="  waited for its core, %", digits=1, judged="value"),
        Row(key="cpu_us_per_chunk", label="CPU µs per chunk, 500 streams", digits=1),
    ),
    "idle": (
        Row(key="kib_per_stream", label="KiB per idle stream", digits=1, judged="difference", limit=40),
        Row(key="streams_open", label="streams open at once", digits=0, judged="value", limit=5000, at_least=True),
    ),
    "rss": (
        Row(key="before_mb", label="RSS MB after warm-up", digits=1, judged="value"),
        Row(key="after_mb", label="RSS MB after the calls", digits=1, judged="value"),
        Row(key="growth_mb", label="RSS growth MB", judged="value", limit=5),
    ),
}


def _samples(rounds: Sequence[Figures], key: str) -> list[float]:
    return [figures.get(key, math.nan) for figures in rounds]


def _judged(row: Row, by_target: Mapping[str, Sequence[Figures]]) -> float:
    """Return the ratio, difference or value that is held against the limit; NaN when a gateway was not measured."""
    ours = _samples(by_target.get("aiogate", ()), row.key)
    if row.judged == "value":
        return median(ours) if ours else math.nan
    pairs = list(zip(ours, _samples(by_target.get("floor", ()), row.key), strict=False))
    if not pairs:
        return math.nan
    return median(our / floor if row.judged == "ratio" else our - floor for our, floor in pairs)


def _verdict(row: Row, by_target: Mapping[str, Sequence[Figures]]) -> str:
    """Return the row's verdict, marked where it is a time and a neighbour had the gateway's core."""
    verdict = row.verdict(_judged(row, by_target))
    waited = median(_samples(by_target.get("aiogate", ({},)), "waited_percent"))
    disturbed = row.key.endswith("_ms") and waited > _DISTURBED_PERCENT
    return f"{verdict}, disturbed" if verdict and disturbed else verdict


def as_json(results: Results) -> dict[str, Any]:
    """Return medians, single rounds, what is judged and the verdicts, by measure and figure."""
    return {name: {row.key: _row_as_json(row, by_target) for row in _ROWS[name]} for name, by_target in results.items()}


def _row_as_json(row: Row, by_target: Mapping[str, Sequence[Figures]]) -> dict[str, Any]:
    rounds = {target: _samples(figures, row.key) for target, figures in by_target.items()}
    judged = _judged(row, by_target)
    return {
        "label": row.label.strip(),
        "medians": {target: _or_none(median(samples)) for target, samples in rounds.items()},
        "rounds": {target: [_or_none(sample) for sample in samples] for target, samples in rounds.items()},
        "judged": row.judged,
        row.judged: _or_none(judged),
        "limit": _or_none(row.limit),
        "verdict": _verdict(row, by_target) or None,
    }


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else round(number, 4)


def as_table(results: Results) -> str:
    """Return all figures as text, one line each."""
    lines = [_line("", DIRECT, "floor", "aiogate", "aiogate:floor", "target", "")]
    for name, by_target in results.items():
        lines.append(name)
        lines += [_row_as_line(row, by_target) for row in _ROWS[name]]
    return "\n".join(line.rstrip() for line in lines)


def _row_as_line(row: Row, by_target: Mapping[str, Sequence[Figures]]) -> str:
    direct, floor, aiogate = (
        _cell(median(_samples(by_target[target], row.key)) if target in by_target else math.nan, row.digits)
        for target in (DIRECT, "floor", "aiogate")
    )
    judged = _judged(row, by_target)
    between = {"ratio": "x{:.2f}", "difference": "{:+.1f}", "value": ""}[row.judged].format(judged)
    shown = "" if math.isnan(judged) else between
    return _line(f"  {row.label}", direct, floor, aiogate, shown, row.target, _verdict(row, by_target))


def _cell(number: float, digits: int) -> str:
    return "-" if math.isnan(number) else f"{number:,.{digits}f}"


def _line(label: str, direct: str, floor: str, aiogate: str, between: str, target: str, verdict: str) -> str:
    return f"{label:<36}{direct:>10}{floor:>10}{aiogate:>10}{between:>15}  {target:<10}{verdict}"
