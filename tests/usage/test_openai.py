import itertools
import logging
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiogate import Usage
from aiogate.usage.framing import Events
from aiogate.usage.openai import MAX_BODY_BYTES, BodyReader, StreamReader
from aiogate.usage.reader import UsageReader, reader_for

GOLDEN = Path(__file__).parent / "golden"
MEASURED = {
    "chat.json": Usage(
        source="measured",
        model="gpt-4o-mini-2024-07-18",
        input_tokens=2006,
        cached_input_tokens=1920,
        output_tokens=300,
        reasoning_tokens=128,
    ),
    "completion.json": Usage(source="measured", model="gpt-3.5-turbo-instruct", input_tokens=5, output_tokens=7),
    "embeddings.json": Usage(source="measured", model="text-embedding-3-small", input_tokens=8),
    "responses.json": Usage(
        source="measured",
        model="gpt-4.1-2025-04-14",
        input_tokens=36,
        cached_input_tokens=4,
        output_tokens=87,
        reasoning_tokens=20,
    ),
    "chat.sse": Usage(
        source="measured",
        model="gpt-4o-mini-2024-07-18",
        input_tokens=19,
        cached_input_tokens=0,
        output_tokens=10,
        reasoning_tokens=3,
    ),
    "responses.sse": Usage(
        source="measured",
        model="gpt-4.1-2025-04-14",
        input_tokens=37,
        cached_input_tokens=32,
        output_tokens=11,
        reasoning_tokens=0,
    ),
    "chat.ndjson": Usage(source="measured", model="local-1", input_tokens=3, output_tokens=1),
    "anthropic.json": Usage(),
    "anthropic.sse": Usage(),
}
CONTENT_TYPES = {".json": "application/json", ".sse": "text/event-stream", ".ndjson": "application/x-ndjson"}


def read(reader: UsageReader, *chunks: bytes) -> Usage:
    for chunk in chunks:
        reader.feed(chunk)
    return reader.result()


def golden(name: str) -> tuple[UsageReader, bytes]:
    reader = reader_for(CONTENT_TYPES[Path(name).suffix], None, 200)
    assert reader is not None
    return reader, (GOLDEN / name).read_bytes()


def body(usage: Any, **others: Any) -> bytes:
    return orjson.dumps({"model": "m", "usage": usage, **others})


def test_every_golden_answer_is_expected_to_say_something() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(MEASURED)


@pytest.mark.parametrize("name", MEASURED)
def test_a_golden_answer_says_what_it_used(name: str) -> None:
    reader, answer = golden(name)
    assert read(reader, answer) == MEASURED[name]


@given(st.lists(st.integers(0, 10_000), max_size=10), st.sampled_from([b"\n", b"\r\n", b"\r"]))
@pytest.mark.parametrize("name", MEASURED)
def test_a_golden_answer_cut_anywhere_says_the_same(name: str, places: list[int], line_end: bytes) -> None:
    reader, answer = golden(name)
    answer = answer.replace(b"\n", line_end)
    borders = [0, *sorted(place % len(answer) for place in places), len(answer)]
    chunks = [answer[start:end] for start, end in itertools.pairwise(borders)]
    assert read(reader, *chunks) == MEASURED[name]


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b'data: {"usage":', b'{"prompt_tokens":1}}', b"\n\n"])))
@pytest.mark.parametrize("content_type", CONTENT_TYPES.values())
def test_arbitrary_bytes_raise_nothing(content_type: str, chunks: list[bytes]) -> None:
    reader = reader_for(content_type, None, 200)
    assert reader is not None
    assert read(reader, *chunks).source in {"measured", "unknown"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["cached_tokens", "x"]), inner),
    max_leaves=5,
)
NAMES = ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "input_tokens", "output_tokens", "model")


@given(st.dictionaries(st.sampled_from(NAMES), JSON), JSON)
def test_figures_of_any_kind_raise_nothing(figures: dict[str, Any], model: Any) -> None:
    said = orjson.dumps({"usage": figures, "model": model})
    usage = read(BodyReader(), said)
    assert usage.input_tokens is None or usage.input_tokens >= 0


def test_the_last_usage_that_is_not_null_wins() -> None:
    events = [{"usage": {"prompt_tokens": 1}}, {"usage": {"prompt_tokens": 2}}, {"usage": None}]
    stream = b"".join(b"data: %b\n\n" % orjson.dumps(event) for event in events)
    assert read(StreamReader(Events()), stream).input_tokens == 2


@pytest.mark.parametrize("later", [b'data: {"usage":{}}\n\n', b'data: {"usage":', b'data: "usage"\n\n'])
def test_what_is_no_usage_leaves_an_earlier_one_in_force(later: bytes) -> None:
    assert read(StreamReader(Events()), b'data: {"usage":{"prompt_tokens":2}}\n\n', later).input_tokens == 2


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_a_response_says_what_it_used_however_it_ended(kind: str) -> None:
    response = {"model": "m", "usage": {"input_tokens": 5, "output_tokens": 6}}
    event = b"data: %b\n\n" % orjson.dumps({"type": kind, "response": response})
    usage = read(StreamReader(Events()), event)
    assert usage == Usage(source="measured", model="m", input_tokens=5, output_tokens=6)


def test_a_response_that_is_still_on_its_way_says_nothing_that_counts() -> None:
    event = {"type": "response.in_progress", "response": {"usage": {"input_tokens": 5}}}
    assert read(StreamReader(Events()), b"data: %b\n\n" % orjson.dumps(event)) == Usage()


@pytest.mark.parametrize(
    "figures",
    [
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.0},
        {"prompt_tokens": True},
        {"prompt_tokens": "12"},
        {"prompt_tokens": 10**12 + 1},
        {"prompt_tokens": 10**30},
        {"prompt_tokens": 1, "completion_tokens": [1]},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}},
        {"prompt_tokens": 1, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}},
        {"input_tokens": -1, "output_tokens": 1},
    ],
)
def test_an_absurd_figure_makes_the_usage_unknown_and_is_logged(
    figures: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    said = b'{"model":"m","usage":%b}' % str(figures).replace("'", '"').replace("True", "true").encode()
    assert read(BodyReader(), said) == Usage(source="unknown")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_what_is_logged_of_an_absurd_figure_is_short(caplog: pytest.LogCaptureFixture) -> None:
    read(BodyReader(), body({"prompt_tokens": "very\nlong " * 10_000}))
    assert len(caplog.messages[0]) < 200
    assert "\n" not in caplog.messages[0]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"null",
        b"[1]",
        b'{"usage":null}',
        b'{"usage":{}}',
        b'{"usage":[]}',
        b'{"usage":{"prompt_tokens":null}}',
        b'{"usage":{"prompt_tokens":1}',
        b'{"usage":{"prompt_tokens":1}}x',
        b'{"a":{"usage":{"prompt_tokens":1}}}',
    ],
)
def test_an_answer_that_says_no_usage_leaves_it_unknown_without_a_word(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(BodyReader(), said) == Usage()
    assert not caplog.records


@pytest.mark.parametrize("model", [None, 5, "", "m" * 257])
def test_a_model_that_is_no_name_is_left_out(model: Any) -> None:
    usage = read(BodyReader(), body({"prompt_tokens": 1}, model=model))
    assert usage == Usage(source="measured", input_tokens=1)


def test_figures_that_are_null_are_not_said() -> None:
    figures = {"prompt_tokens": 1, "completion_tokens": None, "prompt_tokens_details": None}
    assert read(BodyReader(), body(figures)) == Usage(source="measured", model="m", input_tokens=1)


def test_a_body_as_large_as_may_be_is_read() -> None:
    said = body({"prompt_tokens": 1})
    assert read(BodyReader(), said, b" " * (MAX_BODY_BYTES - len(said))).source == "measured"


def test_a_larger_body_stays_unknown_and_is_not_kept() -> None:
    reader = BodyReader()
    said = body({"prompt_tokens": 1})
    assert read(reader, b" " * MAX_BODY_BYTES, said, said) == Usage()
    assert not reader._body
