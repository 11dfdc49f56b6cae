"""How long and how often the bench measures.

Knows nothing of what is measured.
"""

import attrs

__all__ = ["FULL", "QUICK", "Scale"]


@attrs.frozen(kw_only=True)
class Scale:
    """The lengths of one run; seconds are those of one window, ``rounds`` how often each gateway has its turn."""

    rounds: int
    warm_seconds: float
    call_seconds: float
    stream_seconds: float
    latency_seconds: float
    probe_seconds: float
    warm_calls: int
    rss_calls: int
    at_most_seconds: float = 90.0


FULL = Scale(
    rounds=5,
    warm_seconds=0.5,
    call_seconds=2.5,
    stream_seconds=4.0,
    latency_seconds=2.5,
    probe_seconds=0.7,
    warm_calls=20_000,
    rss_calls=100_000,
)
QUICK = Scale(
    rounds=2,
    warm_seconds=0.2,
    call_seconds=0.7,
    stream_seconds=1.2,
    latency_seconds=0.8,
    probe_seconds=0.4,
    warm_calls=2_000,
    rss_calls=5_000,
)
