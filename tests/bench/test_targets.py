"""What becomes of a target, and how it is told."""

import json
import math
from pathlib import Path

import pytest

from tests.bench.comparison import middle, ratio
from tests.bench.report import as_json, as_table
from tests.bench.results_file import write_results
from tests.bench.rounds import Results
from tests.bench.targets import judged

CALLS = {"calls_per_second": 9000.0, "busy_percent": 100.0}


def results(measure: str, **by_target: "dict[str, float] | list[dict[str, float]]") -> Results:
    rounds = {name: taken if isinstance(taken, list) else [taken] for name, taken in by_target.items()}
    return Results(figures={measure: rounds})


def verdict(found: Results, label: str) -> str:
    return next(each.verdict for each in judged(found) if label in each.target.label)


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    found = results("call", aiogate=[{"x": 1}, {"x": 20}, {"x": 3}], floor=[{"x": 2}, {"x": 10}, {"x": 12}])
    assert ratio(found, "call", "aiogate", "floor", "x") == 0.5
    assert middle(found, "call", "aiogate", "x") == 3


def test_what_was_not_measured_is_no_number() -> None:
    assert math.isnan(ratio(results("call", aiogate={"x": 1}), "call", "aiogate", "envoy", "x"))
    assert math.isnan(middle(results("call", aiogate={"x": 1}), "call", "aiogate", "y"))


@pytest.mark.parametrize(("ours", "expected"), [(50.0, "ok"), (51.0, "MISSED")])
def test_a_ratio_is_held_against_its_limit(ours: float, expected: str) -> None:
    found = results("call", aiogate={"cpu_us_per_call": ours}, floor={"cpu_us_per_call": 100})
    assert verdict(found, "CPU per small call") == expected


@pytest.mark.parametrize(("ours", "expected"), [(9000.0, "ok"), (8999.0, "MISSED")])
def test_a_rate_may_not_be_less(ours: float, expected: str) -> None:
    found = results("call", aiogate={**CALLS, "calls_per_second": ours}, envoy={**CALLS, "calls_per_second": 10_000})
    assert verdict(found, "of Envoy's") == expected


def test_a_rate_of_a_core_that_was_not_busy_is_told() -> None:
    found = results("call", aiogate=CALLS, envoy={**CALLS, "busy_percent": 70})
    assert verdict(found, "of Envoy's") == "ok, envoy's core was not busy"


@pytest.mark.parametrize(
    ("nginx", "expected"), [({"delay_p99_ms": 1.0}, "ok"), ({"delay_p99_ms": 0.5}, "MISSED"), (None, "MISSED")]
)
def test_a_delay_over_the_limit_may_be_three_times_nginxs(nginx: "dict[str, float] | None", expected: str) -> None:
    found = results("paced", aiogate={"delay_p99_ms": 2.9}, **({"nginx": nginx} if nginx else {}))
    assert verdict(found, "delay of a chunk") == expected


def test_a_delay_is_disturbed_when_a_neighbour_had_the_core() -> None:
    found = results("paced", aiogate={"delay_p99_ms": 9.0, "waited_percent": 1.5})
    assert verdict(found, "delay of a chunk") == "MISSED, disturbed"


def test_a_rival_that_is_not_there_leaves_its_targets_open() -> None:
    found = results("call", aiogate={"cpu_us_per_call": 50, **CALLS}, floor={"cpu_us_per_call": 100, **CALLS})
    assert verdict(found, "of nginx's") == "not measured"


def test_only_targets_whose_measure_was_taken_are_judged() -> None:
    assert {each.target.measure for each in judged(results("sse", aiogate={"cpu_us_per_chunk": 1}))} == {"sse"}


def test_the_table_says_figure_ratio_and_verdict() -> None:
    found = results("sse", aiogate={"cpu_us_per_chunk": 30}, floor={"cpu_us_per_chunk": 60}, envoy={})
    table = as_table(found)
    assert "60.0 x0.50" in table
    assert "<= x0.75" in table
    assert "not measured" in table


def test_the_json_is_json() -> None:
    found = results("sse", aiogate={"cpu_us_per_chunk": 30}, floor={"cpu_us_per_chunk": 60}, envoy={})
    whole = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert whole["measures"]["sse"]["cpu_us_per_chunk"]["aiogate_to"] == {"floor": 0.5, "envoy": None}
    assert whole["targets"][0]["verdict"] == "ok"


def test_a_written_run_keeps_what_was_added_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    write_results(path, results("sse", aiogate={"cpu_us_per_chunk": 30}), {"machine": "2 cores"})
    path.write_text(path.read_text().replace("To be written.", "Into the sockets."))
    write_results(path, results("sse", aiogate={"cpu_us_per_chunk": 40}), {"machine": "4 cores"})
    written = path.read_text()
    assert "Into the sockets." in written
    assert "4 cores" in written
    assert "2 cores" not in written
    assert written.count("## Where the rest of the time goes") == 1


def test_a_chart_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="in the bench extra only")
    from tests.bench.chart import draw  # noqa: PLC0415 - after the skip

    draw(tmp_path / "chart.png", results("sse", aiogate={"cpu_us_per_chunk": 30}, nginx={"cpu_us_per_chunk": 27}))
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
