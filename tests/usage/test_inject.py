"""Asking for the usage of a stream in the client's name, and hiding the answer."""

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiogate.usage.inject import UsageEventFilter, asking

TEXT = b'data: {"choices":[{"delta":{"content":"usage"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_a_request_for_a_stream_asks_for_its_usage_and_else_stays_what_it_was() -> None:
    body = b'{ "model":"m", "messages":[], "stream": true, "n": 1.50 }\n'
    asked = asking(body)
    assert asked is not None
    assert asked.startswith(body.rstrip()[:-1])
    assert orjson.loads(asked) == {**orjson.loads(body), "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_obfuscation": False}])
def test_options_of_the_clients_own_are_kept(options: Any) -> None:
    asked = asking(orjson.dumps({"stream": True, "prompt": "hi", "stream_options": options}))
    assert asked is not None
    assert orjson.loads(asked)["stream_options"] == {**(options or {}), "include_usage": True}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"stream":true',
        b'{"messages":[]}',
        b'{"messages":[],"stream":false}',
        b'{"messages":[],"stream":"true"}',
        b'{"input":"a","stream":true}',
        b'{"messages":[],"stream":true,"stream_options":{"include_usage":true}}',
    ],
)
def test_any_other_request_stays_as_it_is(body: bytes) -> None:
    assert asking(body) is None


@given(
    st.lists(st.sampled_from([TEXT, USAGE, DONE, b": ping\n\n", b"\n\n"]), max_size=8),
    st.lists(st.integers(0, 999), max_size=8),
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_client_that_did_not_ask_gets_everything_but_the_usage(
    line_end: bytes, events: list[bytes], places: list[int]
) -> None:
    stream = b"".join(events).replace(b"\n", line_end)
    expected = b"".join(event for event in events if event != USAGE).replace(b"\n", line_end)
    borders = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    hides = UsageEventFilter()
    seen = [hides.feed(stream[start:end]) for start, end in itertools.pairwise(borders)]
    assert b"".join([*seen, hides.finish()]) == expected


def test_an_event_that_is_whole_goes_on_at_once() -> None:
    hides = UsageEventFilter()
    assert hides.feed(TEXT) == TEXT
    assert hides.feed(USAGE[:30]) == b""
    assert hides.feed(USAGE[30:] + DONE) == DONE


def test_an_event_without_end_is_not_held_for_ever() -> None:
    hides = UsageEventFilter()
    long = b"data: " + b"x" * 200_000 + b"\n\n"
    seen = [hides.feed(long[n : n + 1000]) for n in range(0, len(long), 1000)]
    assert sum(map(len, seen[:-1])) > 100_000
    assert b"".join(seen) + hides.feed(USAGE + DONE) + hides.finish() == long + DONE


def test_what_the_end_cuts_short_goes_on_unless_it_is_the_usage() -> None:
    for rest, kept in ((TEXT[:20], TEXT[:20]), (USAGE.rstrip(), b"")):
        hides = UsageEventFilter()
        assert hides.feed(rest) + hides.finish() == kept


@given(st.lists(st.binary(max_size=20)))
def test_arbitrary_bytes_pass(chunks: list[bytes]) -> None:
    hides = UsageEventFilter()
    assert b"".join([*map(hides.feed, chunks), hides.finish()]) == b"".join(chunks)


def test_only_what_may_still_be_that_event_is_held_back() -> None:
    hides = UsageEventFilter()
    for piece, seen in (
        (b'data: {"id":"c","choi', b""),
        (b'ces":[{"delta":', b'data: {"id":"c","choices":[{"delta":'),
        (b'{"content":"a', b'{"content":"a'),
        (b'"}}]}\n', b'"}}]}\n'),
        (b"\n", b"\n"),
        (b"data: [DO", b"data: [DO"),
        (b"NE]\n\n: pi", b"NE]\n\n: pi"),
        (b"ng\n\nevent: x", b"ng\n\nevent: x"),
        (b"\ndata: {}\n\n", b"\ndata: {}\n\n"),
    ):
        assert hides.feed(piece) == seen


def test_a_request_that_is_nested_too_deep_stays_as_it_is() -> None:
    assert asking(b'{"messages": %b%b, "stream": true, "stream_options": {}}' % (b"[" * 300, b"]" * 300)) is None
