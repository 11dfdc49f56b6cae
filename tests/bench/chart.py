"""A run as a picture for the README.

Knows nothing of measuring. matplotlib is heavy and only in the bench extra, so it is imported when a picture is drawn.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.comparison import middle
from tests.bench.framing import BenchError
from tests.bench.gateways import GATEWAYS
from tests.bench.rounds import Results

__all__ = ["draw"]

_PANELS = (
    ("call", "cpu_us_per_call", "CPU per small call, µs"),
    ("call", "calls_per_second", "calls a second on one core"),
    ("sse", "cpu_us_per_chunk", "CPU per SSE chunk, µs"),
    ("latency", "added_p99_ms", "added latency at half load, p99, ms"),
    ("paced", "delay_p99_ms", "delay of a chunk, 1,000 streams, p99, ms"),
    ("idle", "uss_kib_per_stream", "memory per idle stream, KiB"),
)
_LABELS = {"floor": "bare aiohttp proxy", "envoy": "Envoy", "haproxy": "HAProxy"}
_OURS, _THEIRS, _INK = "#d1495b", "#9aa5b1", "#1f2933"
_ROWS, _COLUMNS = 2, 3


def draw(path: Path, results: Results) -> None:
    """Write a PNG with a panel for each figure of most interest; raises BenchError when it cannot be drawn."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - heavy, and only in the bench extra

        mpl.use("Agg")
        from matplotlib import pyplot as plt  # noqa: PLC0415 - likewise
    except ImportError as error:
        msg = f"a chart needs matplotlib (pip install 'aiogate[bench]'): {error}"
        raise BenchError(msg) from error
    figure, axes = plt.subplots(_ROWS, _COLUMNS, figsize=(12, 5.2), layout="constrained")
    for panel, (measure, key, title) in zip(axes.flat, _PANELS, strict=True):
        _draw_panel(panel, [(name, middle(results, measure, name, key)) for name in GATEWAYS], title)
    figure.savefig(path, dpi=144, facecolor="white", metadata={"Software": None})
    plt.close(figure)


def _draw_panel(panel: Any, figures: Sequence[tuple[str, float]], title: str) -> None:
    there = [(name, number) for name, number in reversed(figures) if not math.isnan(number)]
    names = [_LABELS.get(name, name) for name, _ in there]
    colours = [_OURS if name == "aiogate" else _THEIRS for name, _ in there]
    bars = panel.barh(names, [number for _, number in there], color=colours, height=0.7)
    panel.bar_label(bars, labels=[_number(number) for _, number in there], padding=3, fontsize=8, color=_INK)
    panel.set_title(title, fontsize=9.5, loc="left", color=_INK)
    panel.margins(x=0.18)
    panel.tick_params(left=False, bottom=False, labelbottom=False, labelsize=8.5, labelcolor=_INK)
    panel.spines[:].set_visible(False)


def _number(number: float) -> str:
    small, large = 10, 100
    return f"{number:,.{2 if abs(number) < small else 1 if number < large else 0}f}"
