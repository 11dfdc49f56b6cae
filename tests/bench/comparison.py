"""Medians over rounds, and ratios between gateways within them.

Knows nothing of how a figure was measured. A ratio is the median of the rounds' ratios: what disturbs one round
disturbs both gateways of it. What was not measured is NaN.
"""

import math
from statistics import median

from tests.bench.rounds import Results

__all__ = ["middle", "ratio", "samples"]


def samples(results: Results, measure: str, target: str, key: str) -> list[float]:
    """Return one figure of each round."""
    return [figures.get(key, math.nan) for figures in results.figures.get(measure, {}).get(target, ())]


def middle(results: Results, measure: str, target: str, key: str) -> float:
    """Return the median of the rounds."""
    return _median(samples(results, measure, target, key))


def ratio(results: Results, measure: str, target: str, other: str, key: str) -> float:
    """Return the median of the rounds' ratios of one target to another."""
    ours, theirs = (samples(results, measure, name, key) for name in (target, other))
    return _median([our / their if their else math.nan for our, their in zip(ours, theirs, strict=False)])


def _median(numbers: list[float]) -> float:
    there = [number for number in numbers if not math.isnan(number)]
    return median(there) if there else math.nan
