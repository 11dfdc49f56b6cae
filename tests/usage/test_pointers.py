"""Figures that stand where an agent's config says."""

from typing import Any

import orjson
import pytest

from aiogate import Usage, UsageRule
from aiogate.usage import reader_for

RULE = UsageRule(
    kind="pointers",
    pointers=(
        ("input_tokens", ("meta", "usage", "in")),
        ("output_tokens", ("meta", "usage", "out")),
        ("model", ("meta", "engine")),
    ),
)


def said(answer: Any, rule: UsageRule = RULE, content_type: str = "application/json") -> Usage:
    reader = reader_for(content_type, None, 200, rule)
    assert reader is not None
    for item in answer if content_type == "text/event-stream" else [answer]:
        body = orjson.dumps(item)
        reader.feed(b"data: " + body + b"\n\n" if content_type == "text/event-stream" else body)
    return reader.result()


def test_figures_are_found_where_the_pointers_point() -> None:
    answer = {"meta": {"engine": "house-1", "usage": {"in": 3, "out": 4}}}
    assert said(answer) == Usage(source="measured", model="house-1", input_tokens=3, output_tokens=4)


def test_other_figures_are_not_looked_at() -> None:
    assert said({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}) == Usage()


def test_a_stream_may_say_one_figure_here_and_another_there() -> None:
    events = [
        {"meta": {"usage": {"in": 3}}},
        {"text": "hi"},
        {"meta": {"usage": {"in": 4, "out": None}}},
        {"meta": {"usage": {"out": 5}}},
    ]
    assert said(events, content_type="text/event-stream") == Usage(source="measured", input_tokens=4, output_tokens=5)


@pytest.mark.parametrize("steps", [("list", "1", "n"), ("a/b", "n~"), ("", "n"), ("é",), ("0",)])
def test_a_pointer_goes_through_arrays_and_any_key(steps: tuple[str, ...]) -> None:
    answer = {"list": [0, {"n": 7}], "a/b": {"n~": 7}, "": {"n": 7}, "é": 7, "0": 7}
    assert said(answer, UsageRule(kind="pointers", pointers=(("output_tokens", steps),))).output_tokens == 7


@pytest.mark.parametrize("answer", [{}, [], 5, {"meta": 5}, {"meta": {"usage": []}}, {"meta": {"usage": {"in": None}}}])
def test_a_pointer_to_nothing_finds_nothing(answer: Any) -> None:
    assert said(answer) == Usage()


@pytest.mark.parametrize("figure", [-1, 1.5, "3", True, [], {}])
def test_what_is_no_figure_is_unknown_and_logged(figure: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert said({"meta": {"usage": {"in": figure}}}) == Usage()
    assert len(caplog.records) == 1
