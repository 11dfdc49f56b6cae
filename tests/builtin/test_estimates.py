"""What a request asks for, and what the exchanges of an agent have used lately."""

from typing import Any

import orjson
import pytest

from aiogate import Usage
from aiogate.builtin.estimates import Asked, Means, asked, estimate
from tests.exchanges import an_exchange


@pytest.mark.parametrize(
    "said, tokens",
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60, "max_tokens": 50}, 60),
        ({"max_completion_tokens": 1, "max_tokens": 50}, 50),
        ({"max_tokens": 1, "options": {"num_predict": 90}}, 90),
        ({"max_output_tokens": 70}, 70),
        ({"generationConfig": {"maxOutputTokens": 80}}, 80),
        ({"options": {"num_predict": 90}}, 90),
        ({"max_tokens": 50, "n": 4}, 200),
        ({"max_tokens": 50, "n": -4}, 50),
        ({"max_tokens": -50}, None),
        ({"max_tokens": "50"}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": 10**12}, None),
        ({"messages": [{"content": '"max_tokens": 5'}]}, None),
        ({"options": [1], "generationConfig": "x"}, None),
    ],
    ids=str,
)
def test_the_tokens_that_a_request_asks_for(said: dict[str, Any], tokens: int | None) -> None:
    assert asked(orjson.dumps(said)).output_tokens == tokens


def test_the_model_and_whether_a_stream_is_wanted() -> None:
    assert asked(b'{"model": "m-1", "stream": true, "max_tokens": 5}') == Asked(5, "m-1", streamed=True)
    assert asked(b'{"model": 7, "stream": "yes"}') == Asked()


@pytest.mark.parametrize("body", [None, b"", b"no json", b"[1]", b"3", b'{"max_tokens":', b"\xff"])
def test_a_body_that_says_nothing_asks_for_nothing(body: bytes | None) -> None:
    assert asked(body) == Asked()


def test_four_bytes_of_a_request_are_a_token() -> None:
    usage = estimate(an_exchange(content_length=401), Asked(7, "m-1"), 7)
    assert usage == Usage(source="estimated", model="m-1", input_tokens=101, output_tokens=7)


def test_a_long_request_is_not_taken_for_text() -> None:
    assert estimate(an_exchange(content_length=10**8), Asked(), 0).input_tokens == 16_384


def test_means_follow_what_is_used() -> None:
    means = Means()
    assert (means.tokens("a"), means.nanousd("a")) == (None, None)
    for _ in range(3):
        means.learn("a", Usage(source="measured", input_tokens=10, output_tokens=30), 400)
    assert (means.tokens("a"), means.nanousd("a"), means.tokens("b")) == (40, 400, None)
    for _ in range(60):
        means.learn("a", Usage(source="measured", output_tokens=80), 800)
    assert (means.tokens("a"), means.nanousd("a")) == (80, 800)


def test_means_begin_with_what_exchanges_used_before() -> None:
    means = Means()
    means.learn("known", Usage(source="measured", output_tokens=8), 9)
    means.begin("known", 10, 1000, 1000)
    means.begin("new", 10, 1000, 0)
    means.begin("silent", 0, 0, 0)
    assert [(means.tokens(agent), means.nanousd(agent)) for agent in ("known", "new", "silent")] == [
        (8, 9),
        (100, None),
        (None, None),
    ]


def test_what_is_not_known_teaches_nothing() -> None:
    means = Means()
    means.learn("a", Usage(source="measured", output_tokens=8), 9)
    means.learn("a", Usage(), None)
    assert (means.tokens("a"), means.nanousd("a")) == (8, 9)


def test_one_absurd_answer_does_not_stop_everybody() -> None:
    means = Means()
    means.learn("a", Usage(source="measured", output_tokens=100), 100)
    means.learn("a", Usage(source="measured", output_tokens=10**12), 10**18)
    assert (means.tokens("a") or 0) < 500
    assert (means.nanousd("a") or 0) < 500
