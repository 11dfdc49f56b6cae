"""How long and how often the bench measures.

Knows nothing of what is measured.
"""

import attrs

__all__ = ["FULL", "QUICK", "Scale"]


@attrs.frozen(kw_only=True)
class Scale:
    """The lengths of one run; seconds are those of one window, ``rounds`` how often each gateway has its turn.

    ``most_streams`` 0 leaves them out; ``fresh`` starts the gateways anew for every measure.
    """

    rounds: int
    warm_seconds: float
    call_seconds: float
    short_seconds: float
    stream_seconds: float
    latency_seconds: float
    probe_seconds: float
    many_streams: int
    most_streams: int
    idle_streams: int
    bulk_bytes: int
    warm_calls: int
    rss_calls: int
    fresh: bool
    at_most_seconds: float = 60.0

    @property
    def note(self) -> str:
        """Return what is smaller than the report's labels say; empty: nothing."""
        if self.bulk_bytes == FULL.bulk_bytes:
            return ""
        return f"in haste: large bodies of {self.bulk_bytes // 10**6} MB, {self.rss_calls:,} calls, no 5,000 streams"


FULL = Scale(
    rounds=5,
    warm_seconds=0.2,
    call_seconds=1.5,
    short_seconds=0.6,
    stream_seconds=2.0,
    latency_seconds=1.2,
    probe_seconds=0.5,
    many_streams=1_000,
    most_streams=5_000,
    idle_streams=5_000,
    bulk_bytes=1_000_000_000,
    warm_calls=20_000,
    rss_calls=100_000,
    fresh=True,
)
QUICK = Scale(
    rounds=2,
    warm_seconds=0.1,
    call_seconds=0.5,
    short_seconds=0.25,
    stream_seconds=0.6,
    latency_seconds=0.4,
    probe_seconds=0.2,
    many_streams=1_000,
    most_streams=0,
    idle_streams=1_000,
    bulk_bytes=100_000_000,
    warm_calls=2_000,
    rss_calls=5_000,
    fresh=False,
)
