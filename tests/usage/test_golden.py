"""What golden answers of every dialect say, and that nothing that an agent may send breaks a reader."""

import gzip
import itertools
import logging
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiogate import Usage, UsageRule
from aiogate.usage.body import MAX_BODY_BYTES, BodyReader
from aiogate.usage.framing import Events
from aiogate.usage.reader import UsageReader, reader_for
from aiogate.usage.stream import StreamReader

GOLDEN = Path(__file__).parent / "golden"


def measured(model: str | None, input_tokens: int, output_tokens: int | None, **parts: int) -> Usage:
    return Usage(source="measured", model=model, input_tokens=input_tokens, output_tokens=output_tokens, **parts)


MINI, CLAUDE, FLASH = "gpt-4o-mini-2024-07-18", "claude-sonnet-4-5-20250929", "gemini-2.5-flash"
SILENT = {"input_audio_tokens": 0, "output_audio_tokens": 0}
MEASURED = {
    "chat.json": measured(MINI, 2006, 300, cached_input_tokens=1920, reasoning_tokens=128, **SILENT),
    "chat.sse": measured(MINI, 19, 10, cached_input_tokens=0, reasoning_tokens=3, **SILENT),
    "chat.ndjson": measured("local-1", 3, 1),
    "chat_audio.json": measured(
        "gpt-4o-audio-preview-2024-10-01",
        61,
        33,
        cached_input_tokens=0,
        reasoning_tokens=0,
        input_audio_tokens=44,
        output_audio_tokens=24,
    ),
    "completion.json": measured("gpt-3.5-turbo-instruct", 5, 7),
    "embeddings.json": measured("text-embedding-3-small", 8, None),
    "transcription.json": measured(None, 14, 45, input_audio_tokens=14),
    "responses.json": measured("gpt-4.1-2025-04-14", 36, 87, cached_input_tokens=4, reasoning_tokens=20),
    "responses.sse": measured("gpt-4.1-2025-04-14", 37, 11, cached_input_tokens=32, reasoning_tokens=0),
    "anthropic.json": measured(
        CLAUDE, 1325, 15, cached_input_tokens=1000, cache_write_tokens=300, cache_write_1h_tokens=120
    ),
    "anthropic.sse": measured(
        CLAUDE, 1025, 15, cached_input_tokens=1000, cache_write_tokens=0, cache_write_1h_tokens=0
    ),
    "anthropic_tools.sse": measured(CLAUDE, 10682, 510, cached_input_tokens=0, cache_write_tokens=0),
    "gemini.json": measured(FLASH, 1280, 140, cached_input_tokens=1000, reasoning_tokens=100, input_audio_tokens=50),
    "gemini.sse": measured(FLASH, 8, 47, reasoning_tokens=44),
    "gemini_array.json": measured("gemini-2.0-flash", 8, 3),
    "ollama.json": measured("llama3.2", 26, 298),
    "ollama.ndjson": measured("llama3.2", 26, 259),
    "a2a_task_03.json": measured("gpt-4o-2024-08-06", 156, 89),
    "a2a_03.sse": measured(None, 1230, 140, reasoning_tokens=100),
    "a2a_message_10.json": measured("house-1", 120, 30, cached_input_tokens=20, reasoning_tokens=5),
    "a2a_10.sse": measured("house-2", 70, 12),
    "a2a_http_10.json": measured("claude-haiku-4-5", 150, 9, cached_input_tokens=100, cache_write_tokens=0),
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


def cut(answer: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(answer) + 1) for place in places), len(answer)]
    return [answer[start:end] for start, end in itertools.pairwise(borders)]


PLACES = st.lists(st.integers(0, 10_000), max_size=10)


@given(PLACES, st.sampled_from([b"\n", b"\r\n", b"\r"]))
@pytest.mark.parametrize("name", MEASURED)
def test_a_golden_answer_cut_anywhere_says_the_same(name: str, places: list[int], line_end: bytes) -> None:
    reader, answer = golden(name)
    assert read(reader, *cut(answer.replace(b"\n", line_end), places)) == MEASURED[name]


@pytest.mark.parametrize("name", MEASURED)
def test_a_golden_answer_that_comes_byte_by_byte_says_the_same(name: str) -> None:
    reader, answer = golden(name)
    assert read(reader, *(answer[n : n + 1] for n in range(len(answer)))) == MEASURED[name]


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


@given(PLACES)
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("coding", COMPRESS)
@pytest.mark.parametrize("name", ["chat.json", "anthropic.sse", "ollama.ndjson"])
def test_a_golden_answer_that_is_compressed_says_the_same(name: str, coding: str, places: list[int]) -> None:
    reader = reader_for(CONTENT_TYPES[Path(name).suffix], coding, 200)
    assert reader is not None
    assert read(reader, *cut(COMPRESS[coding]((GOLDEN / name).read_bytes()), places)) == MEASURED[name]


DIALECT_OF = {
    "chat": "openai",
    "completion": "openai",
    "embeddings": "openai",
    "transcription": "openai",
    "responses": "openai",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "ollama": "ollama",
    "a2a": "a2a",
}


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("dialect", sorted(set(DIALECT_OF.values())))
def test_an_agent_whose_dialect_is_named_is_understood_in_it_alone(name: str, dialect: str) -> None:
    reader = reader_for(CONTENT_TYPES[Path(name).suffix], None, 200, UsageRule(kind=dialect))
    assert reader is not None
    usage = read(reader, (GOLDEN / name).read_bytes())
    if DIALECT_OF[name.split("_", maxsplit=1)[0].split(".", maxsplit=1)[0]] == dialect:
        assert usage == MEASURED[name]
    else:
        assert usage.source == "unknown" or name.startswith("anthropic")  # whose words are OpenAI's, too


@pytest.mark.parametrize("name", [name for name in MEASURED if not name.endswith(".json")])
def test_a_golden_stream_that_is_cut_anywhere_never_says_more_than_the_whole(name: str) -> None:
    _, answer = golden(name)
    for end in range(len(answer)):
        usage = read(golden(name)[0], answer[:end])
        assert usage.source in {"measured", "estimated", "unknown"}
        assert (usage.input_tokens or 0) <= (MEASURED[name].input_tokens or 0)


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b'data: {"usage":', b'{"prompt_tokens":1}}', b"\n\n"])))
@pytest.mark.parametrize("coding", [None, "gzip", "deflate", "br"])
@pytest.mark.parametrize("content_type", CONTENT_TYPES.values())
def test_arbitrary_bytes_raise_nothing(content_type: str, coding: str | None, chunks: list[bytes]) -> None:
    reader = reader_for(content_type, coding, 200)
    assert reader is not None
    assert read(reader, *chunks).source in {"measured", "unknown", "estimated"}
    assert reader.estimate(0).source == "estimated"


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
WORDS = sorted(
    {
        word.decode()
        for path in GOLDEN.iterdir()
        for word in re.findall(rb'"([A-Za-z_0-9]+)"\s*:', path.read_bytes())
        if b"oken" in word or b"sage" in word or b"ount" in word
    }
    | {"type", "response", "result", "task", "status", "artifact", "metadata", "model", "done", "modality"}
)
JSON = st.recursive(
    LEAVES | st.sampled_from(["message_start", "message_delta", "response.completed", "AUDIO"]) | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6), max_size=4))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # deep JSON on busy machines
def test_figures_of_any_kind_anywhere_raise_nothing_and_credit_nobody(said: list[dict[str, Any]]) -> None:
    for kind, content_type in itertools.product(
        ["recognised", *sorted(set(DIALECT_OF.values()))], CONTENT_TYPES.values()
    ):
        reader = reader_for(content_type, None, 200, UsageRule(kind=kind))
        assert reader is not None
        before = b"data: " if content_type == "text/event-stream" else b""
        usage = read(reader, *(before + orjson.dumps(item) + b"\n\n" for item in said))
        whole = {"input": usage.input_tokens or 0, "output": usage.output_tokens or 0}
        parts = {
            "input": (usage.cached_input_tokens or 0) + (usage.cache_write_tokens or 0),
            "output": usage.reasoning_tokens or 0,
        }
        assert all(0 <= parts[name] <= whole[name] <= 4 * 10**12 for name in whole), kind


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
        {"prompt_tokens": 1, "prompt_tokens_details": {"audio_tokens": 2}},
        {"prompt_tokens": 1, "completion_tokens": 1, "completion_tokens_details": {"audio_tokens": 2}},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 3},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": "2"},
        {"input_tokens": -1, "output_tokens": 1},
    ],
)
def test_an_absurd_figure_makes_the_usage_unknown_and_is_logged(
    figures: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    said = b'{"model":"m","usage":%b}' % str(figures).replace("'", '"').replace("True", "true").encode()
    reader = BodyReader()
    assert read(reader, said) == Usage(source="unknown")
    assert reader.absurd
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
