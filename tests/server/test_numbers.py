"""What is counted of an exchange ends up where each by itself would be put."""

from bisect import bisect_left
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiogate.server.numbers import Histogram

_BOUNDS = (0.1, 0.25, 1.0)
_SECONDS = st.one_of(st.sampled_from(_BOUNDS), st.floats(0, 3))


@given(st.lists(st.one_of(_SECONDS, st.none()), max_size=40))
def test_a_histogram_counts_each_in_its_bucket_whenever_it_is_read(steps: list[float | None]) -> None:
    histogram, plain, total = Histogram(_BOUNDS), [0, 0, 0, 0], 0.0
    for seconds in [*steps, None]:
        if seconds is not None:
            histogram.add(seconds)
            plain[bisect_left(_BOUNDS, seconds)] += 1
            total += seconds
            continue
        assert [count for _, count in histogram.buckets()] == list(accumulate(plain))
        assert histogram.total == pytest.approx(total)


def test_a_histogram_that_nobody_reads_does_not_grow() -> None:
    histogram = Histogram(_BOUNDS)
    most = 0
    for _ in range(5000):
        histogram.add(0.2)
        most = max(most, len(histogram.fresh))
    assert most < 1000
    assert histogram.buckets() == [("0.1", 0.0), ("0.25", 5000.0), ("1.0", 5000.0), ("+Inf", 5000.0)]
