"""The figures of the report, by measure: what each is called and how it is shown.

Knows nothing of values or targets to meet.
"""

from collections.abc import Mapping, Sequence

import attrs

__all__ = ["ROWS", "Row"]


@attrs.frozen(kw_only=True)
class Row:
    """One figure; ``compared``: its ratio to other gateways says something."""

    key: str
    label: str
    digits: int = 2
    compared: bool = True


_WAITED = Row(key="waited_percent", label="  waited for its core, %", digits=1, compared=False)
_BUSY = Row(key="busy_percent", label="  its core busy, %", digits=0, compared=False)
_CALL = (
    Row(key="cpu_us_per_call", label="CPU µs per small call", digits=1),
    Row(key="calls_per_second", label="calls a second at saturation", digits=0),
    _BUSY,
    _WAITED,
)


def _delays(streams: str) -> Sequence[Row]:
    return (
        Row(key="delay_p50_ms", label=f"delay p50 ms, {streams} streams", digits=3),
        Row(key="delay_p99_ms", label=f"delay p99 ms, {streams} streams", digits=3),
        Row(key="delay_max_ms", label=f"delay max ms, {streams} streams", digits=3, compared=False),
        Row(key="gap_p99_ms", label=f"gap p99 ms, {streams} streams", digits=3, compared=False),
        Row(key="cpu_us_per_chunk", label=f"CPU µs per chunk, {streams} streams", digits=1),
        _BUSY,
        _WAITED,
    )


def _bulk(key: str, way: str) -> Sequence[Row]:
    return (
        Row(key=f"{key}_mb_per_second", label=f"MB a second {way}", digits=0),
        Row(key=f"{key}_cpu_ms_per_gb", label=f"CPU ms per GB {way}", digits=0),
        Row(key=f"{key}_peak_growth_mb", label=f"memory growth MB {way}, peak", digits=1, compared=False),
    )


ROWS: Mapping[str, Sequence[Row]] = {
    "call": _CALL,
    "plugins": _CALL,
    "sse": (
        Row(key="cpu_us_per_chunk", label="CPU µs per chunk, 100 streams", digits=1),
        Row(key="delay_p99_ms", label="delay p99 ms, 100 streams", digits=3),
    ),
    "latency": (
        Row(key="added_p50_ms", label="added p50 ms at half of max rate", digits=3),
        Row(key="added_p99_ms", label="added p99 ms at half of max rate", digits=3),
        Row(key="direct_p99_ms", label="  p99 ms without a gateway", digits=3, compared=False),
        Row(key="at_calls_per_second", label="  at calls a second", digits=0, compared=False),
        _WAITED,
    ),
    "paced": _delays("1,000"),
    "flood": (
        Row(key="cpu_us_per_flood", label="CPU µs per 1,000 events at once", digits=0),
        Row(key="events_per_second", label="events a second at saturation", digits=0),
    ),
    "bodies": (
        Row(key="cpu_us_per_20_kb", label="CPU µs per 20 kB up and down", digits=1),
        Row(key="cpu_us_per_megabyte", label="CPU µs per megabyte up and down", digits=0),
        Row(key="megabytes_per_second", label="megabytes up and down a second", digits=0),
    ),
    "churn": (
        Row(key="cpu_us_per_connection", label="CPU µs per call and connection", digits=1),
        Row(key="connections_per_second", label="connections a second", digits=0),
    ),
    "mixed": (
        Row(key="busy_percent", label="core busy, %", digits=0),
        Row(key="call_p50_ms", label="call p50 ms", digits=3),
        Row(key="call_p99_ms", label="call p99 ms", digits=3),
        Row(key="delay_p99_ms", label="delay of a chunk p99 ms", digits=3),
        _WAITED,
    ),
    "bulk": (*_bulk("down", "down"), *_bulk("up", "up")),
    "most": _delays("5,000"),
    "idle": (
        Row(key="uss_kib_per_stream", label="KiB per idle stream (USS)", digits=1),
        Row(key="rss_kib_per_stream", label="KiB per idle stream (RSS)", digits=1, compared=False),
        Row(key="streams_open", label="streams open at once", digits=0, compared=False),
        Row(key="opened_per_second", label="  opened a second", digits=0, compared=False),
    ),
    "rss": (
        Row(key="before_mb", label="RSS MB after warm-up", digits=1, compared=False),
        Row(key="after_mb", label="RSS MB after the calls", digits=1, compared=False),
        Row(key="growth_mb", label="RSS growth MB", compared=False),
    ),
}
