"""The figures as a table for people and as JSON for programs.

Knows nothing of how a figure was measured or what is to be reached.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.comparison import middle, ratio, samples
from tests.bench.gateways import DIRECT, PLUGGED, UPWARDS
from tests.bench.rivals import RIVALS
from tests.bench.rounds import Results
from tests.bench.rows import ROWS, Row
from tests.bench.targets import Judgement, judged

__all__ = ["as_json", "as_table", "cells", "columns"]

_COLUMNS = (DIRECT, "aiogate", PLUGGED, "floor", UPWARDS, *RIVALS)
_LABEL, _CELL, _RATIO = 36, 10, 7


def columns(results: Results, measure: str) -> Sequence[str]:
    """Return the targets of which there are figures of a measure, in the order of the report."""
    return [name for name in _COLUMNS if name in results.figures[measure]]


def cells(results: Results, measure: str, row: Row, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return one figure of each target, and in how many of it aiogate's is."""
    for name in names:
        number = middle(results, measure, name, row.key)
        ours = ratio(results, measure, "aiogate", name, row.key)
        shown = row.compared and name not in {"aiogate", DIRECT} and not math.isnan(ours)
        yield "-" if math.isnan(number) else f"{number:,.{row.digits}f}", f"x{ours:.2f}" if shown else ""


def as_table(results: Results) -> str:
    """Return all figures as text, one line each; then the targets; then what a reader must know."""
    lines: list[str] = []
    for measure in results.figures:
        names = columns(results, measure)
        lines.append(f"{measure:<{_LABEL}}" + "".join(f"{name:>{_CELL}}{'':<{_RATIO}}" for name in names))
        lines += [_line(f"  {row.label}", cells(results, measure, row, names)) for row in ROWS[measure]]
    lines += ["", "xN: aiogate's figure in units of that gateway's, the median of the rounds", "", *_targets(results)]
    lines += ["", *(f"note: {note}" for note in results.notes)] if results.notes else []
    return "\n".join(line.rstrip() for line in lines)


def _line(label: str, shown: Iterator[tuple[str, str]]) -> str:
    return f"{label:<{_LABEL}}" + "".join(f"{number:>{_CELL}} {compared:<{_RATIO - 1}}" for number, compared in shown)


def _targets(results: Results) -> Sequence[str]:
    rows = [("to reach", "measured", "target", "")]
    rows += [(each.target.label, each.measured, each.target.text, each.verdict) for each in judged(results)]
    return [f"{label:<42}{measured:>14}   {target:<28}{verdict}" for label, measured, target, verdict in rows]


def as_json(results: Results) -> dict[str, Any]:
    """Return medians, single rounds, ratios and what became of the targets."""
    return {
        "measures": {
            measure: {row.key: _row_as_json(results, measure, row) for row in ROWS[measure]}
            for measure in results.figures
        },
        "targets": [_target_as_json(judgement) for judgement in judged(results)],
        "notes": list(results.notes),
    }


def _row_as_json(results: Results, measure: str, row: Row) -> dict[str, Any]:
    names = list(results.figures[measure])
    rounds = {name: samples(results, measure, name, row.key) for name in names}
    return {
        "label": row.label.strip(),
        "medians": {name: _or_none(middle(results, measure, name, row.key)) for name in names},
        "rounds": {name: [_or_none(sample) for sample in taken] for name, taken in rounds.items()},
        "aiogate_to": {
            name: _or_none(ratio(results, measure, "aiogate", name, row.key))
            for name in names
            if row.compared and name not in {"aiogate", DIRECT}
        },
    }


def _target_as_json(judgement: Judgement) -> dict[str, Any]:
    return {
        "label": judgement.target.label,
        "measured": _or_none(judgement.value),
        "target": judgement.target.text,
        "verdict": judgement.verdict,
    }


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else round(number, 4)
