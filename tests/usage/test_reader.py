"""Which responses have a reader, and which one."""

import pytest

from aiogate import UsageRule
from aiogate.usage import UsageReader, reader_for
from aiogate.usage.body import BodyReader
from aiogate.usage.stream import StreamReader


@pytest.mark.parametrize(
    "content_type, kind",
    [
        ("application/json", BodyReader),
        ("Application/JSON; charset=utf-8", BodyReader),
        ("application/a2a+json", BodyReader),
        ("text/event-stream", StreamReader),
        ("text/event-stream;charset=UTF-8", StreamReader),
        ("application/x-ndjson", StreamReader),
        ("application/jsonl ; x=y", StreamReader),
    ],
)
def test_a_response_that_can_say_what_it_used_has_a_reader(content_type: str, kind: type[UsageReader]) -> None:
    assert isinstance(reader_for(content_type, None, 200), kind)


@pytest.mark.parametrize("content_type", ["", "text/plain", "text/html", "application/octet-stream", "json"])
def test_other_types_have_none(content_type: str) -> None:
    assert reader_for(content_type, None, 200) is None


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_an_answer_as_it_is_has_a_reader(encoding: str | None) -> None:
    assert reader_for("application/json", encoding, 200) is not None


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", " GZip "])
def test_a_compressed_answer_has_one(encoding: str) -> None:
    assert reader_for("application/json", encoding, 200) is not None


@pytest.mark.parametrize("encoding", ["zstd", "compress", "identity, gzip", "gzip, br"])
def test_an_answer_in_a_coding_that_nobody_here_can_undo_has_none(encoding: str) -> None:
    assert reader_for("application/json", encoding, 200) is None


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", ""])
def test_for_an_estimate_every_answer_has_one(content_type: str) -> None:
    assert reader_for(content_type, "zstd", 200, UsageRule(kind="estimate")) is not None
    assert reader_for(content_type, None, 204, UsageRule(kind="estimate")) is None


@pytest.mark.parametrize("status", [101, 103, 204, 205, 304])
def test_an_answer_without_a_body_has_none(status: int) -> None:
    assert reader_for("application/json", None, status) is None


@pytest.mark.parametrize("status", [200, 206, 400, 500])
def test_an_answer_with_a_body_has_a_reader_whatever_its_status(status: int) -> None:
    assert reader_for("application/json", None, status) is not None
