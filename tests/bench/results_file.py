"""A run written down for readers: ``RESULTS.md``.

What stands there from "Where the rest of the time goes" on was written by hand and stays. Knows nothing of measuring.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.report import cells, columns
from tests.bench.rounds import Results
from tests.bench.rows import ROWS
from tests.bench.targets import judged

__all__ = ["write_results"]

_BY_HAND = "## Where the rest of the time goes"
_TITLES = {
    "call": "Small calls at saturation",
    "plugins": "The same with 20 idle third-party plugins",
    "sse": "100 streams of 20 events a second",
    "latency": "Added latency at half of the gateway's own maximum rate",
    "paced": "1,000 streams of 10 events a second",
    "flood": "Event streams at full speed",
    "bodies": "Bodies up and down",
    "churn": "A new connection for every call",
    "mixed": "300 streams of 20 events a second, and 1,500 calls a second",
    "bulk": "A very large body, one way each",
    "most": "5,000 streams of 2 events a second",
    "idle": "Idle streams",
    "rss": "Memory after many calls",
}


def write_results(path: Path, results: Results, facts: Mapping[str, str]) -> None:
    """Write figures, targets and the machine; ``facts`` are lines about the run."""
    lines = [
        "# Results",
        "",
        "Written by `python -m tests.bench --results FILE`; what each line means is in README.md.",
        "",
    ]
    lines += [f"- {name}: {fact}" for name, fact in facts.items()]
    lines += [f"- note: {note}" for note in results.notes]
    lines += ["", "## To reach", "", *_table(("", "measured", "target", ""), _judgements(results))]
    lines += ["", "xN: aiogate's figure in units of that gateway's, the median of the rounds. **Only ratios travel.**"]
    for measure in results.figures:
        lines += ["", f"## {_TITLES[measure]} (`--only {measure}`)", "", *_figures(results, measure)]
    path.write_text("\n".join((*lines, "", _written_by_hand(path))), encoding="utf-8")


def _judgements(results: Results) -> Sequence[Sequence[str]]:
    return [(each.target.label, each.measured, each.target.text, each.verdict) for each in judged(results)]


def _figures(results: Results, measure: str) -> Sequence[str]:
    names = columns(results, measure)
    rows = [
        (row.label.strip(), *(" ".join(filter(None, cell)) for cell in cells(results, measure, row, names)))
        for row in ROWS[measure]
    ]
    return _table(("", *names), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Sequence[str]:
    ruler = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def _written_by_hand(path: Path) -> str:
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    at = before.find(_BY_HAND)
    return before[at:] if at >= 0 else f"{_BY_HAND}\n\nTo be written.\n"
