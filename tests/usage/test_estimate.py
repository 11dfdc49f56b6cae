"""Estimates: the rule, and that a cut stream is charged for what came."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiogate import Usage, UsageRule
from aiogate.usage import reader_for
from aiogate.usage.body import MAX_BODY_BYTES, BodyReader
from aiogate.usage.estimate import SAMPLE_BYTES, text_bytes, tokens
from aiogate.usage.framing import Events
from aiogate.usage.stream import StreamReader


def chunk(text: str) -> bytes:
    return b"data: %b\n\n" % orjson.dumps({"model": "m-1", "choices": [{"delta": {"content": text}}], "usage": None})


@pytest.mark.parametrize("size, count", [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_four_bytes_are_a_token_rounded_up(size: int, count: int) -> None:
    assert tokens(size) == count


def test_of_json_the_texts_count() -> None:
    assert text_bytes(b'{"id":"x","content":"12\\"45","a":{"text" : "678"},"n":"not"}') == 9


def test_of_json_without_texts_everything_counts() -> None:
    assert text_bytes(b'{"rows":[1,2,3]}') == 16


def test_a_body_is_estimated_with_its_request_and_its_model() -> None:
    reader = BodyReader()
    reader.feed(b'{"model":"m-1","content":"12345678"}')
    usage = reader.estimate(100)
    assert (usage.source, usage.model, usage.input_tokens, usage.output_tokens) == ("estimated", "m-1", 25, 2)


def test_of_a_body_too_large_to_be_kept_all_bytes_count() -> None:
    reader = BodyReader()
    for _ in range(5):
        reader.feed(b"x" * (MAX_BODY_BYTES // 4))
    assert reader.estimate(0).output_tokens == 5 * MAX_BODY_BYTES // 16


def test_a_short_stream_is_estimated_by_its_texts() -> None:
    reader = StreamReader(Events())
    for text in ("Hello ", "world, ", "how are you?"):
        reader.feed(chunk(text))
    assert (reader.model(), reader.estimate(0).output_tokens) == ("m-1", tokens(25))


def test_a_long_stream_is_estimated_by_the_share_of_texts_in_its_beginning() -> None:
    reader = StreamReader(Events())
    for _ in range(10_000):
        reader.feed(chunk("12345678"))
    output_tokens = reader.estimate(0).output_tokens
    assert output_tokens is not None
    assert abs(output_tokens - 20_000) < 200


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=20))
def test_an_estimate_does_not_depend_on_the_borders_of_chunks(sizes: list[int]) -> None:
    stream = chunk("1234567") * (3 * SAMPLE_BYTES // len(chunk("1234567")))
    whole, cut = StreamReader(Events()), StreamReader(Events())
    whole.feed(stream)
    at = 0
    for size in [*sizes, len(stream)]:
        cut.feed(stream[at : at + size])
        at += size
    assert cut.estimate(7) == whole.estimate(7)


def test_a_message_that_is_cut_before_its_output_was_told_is_charged_for_what_came() -> None:
    reader = StreamReader(Events())
    start = {"type": "message_start", "message": {"model": "c-1", "usage": {"input_tokens": 50, "output_tokens": 1}}}
    reader.feed(b"data: %b\n\n" % orjson.dumps(start))
    for _ in range(10):
        delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "12345678"}}
        reader.feed(b"data: %b\n\n" % orjson.dumps(delta))
    usage = reader.result()
    assert (usage.source, usage.model, usage.input_tokens, usage.output_tokens) == ("estimated", "c-1", 50, 20)


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "image/png", ""])
def test_of_anything_else_all_bytes_count(content_type: str) -> None:
    reader = reader_for(content_type, None, 200, UsageRule(kind="estimate"))
    assert reader is not None
    reader.feed(b"12345")
    assert (reader.result().source, reader.estimate(0).output_tokens) == ("unknown", 2)


def test_so_do_they_of_a_coding_that_nobody_here_can_undo() -> None:
    reader = reader_for("application/json", "zstd", 200, UsageRule(kind="estimate"))
    assert reader is not None
    reader.feed(b"12345")
    assert reader.estimate(0).output_tokens == 2


def test_of_a_body_that_is_too_large_the_model_is_known_from_either_end() -> None:
    filling = b'{"content":"word"},' * (MAX_BODY_BYTES // 15)
    for chunks in ([b'{"model":"m-1",', filling], [b'{"data":[', filling, b'],"model":', b'"m-1"}']):
        reader = BodyReader()
        for chunk in chunks:
            reader.feed(chunk)
        assert reader.model() == "m-1"
        assert len(filling) // 25 < (reader.estimate(0).output_tokens or 0) < len(filling) // 15


def test_a_model_that_is_named_behind_megabytes_of_the_clients_own_words_is_known() -> None:
    event = b'data: {"type":"response.%b","response":{"instructions":"%b","model":"m-1"%b}}\n\n'
    words = b"words " * 200_000  # longer than any line that is read
    reader = reader_for("text/event-stream", None, 200)
    assert reader is not None
    reader.feed(event % (b"created", words, b""))
    reader.feed(event % (b"completed", words, b',"usage":{"input_tokens":9,"output_tokens":9}'))
    assert reader.result() == Usage()
    assert reader.model() == reader.estimate(0).model == "m-1"
