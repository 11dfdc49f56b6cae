"""Chooses the reader for a response by its head.

For the cost plugin and for plugin authors. Knows no dialect from the inside, and nothing of prices.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Final, Protocol

from aiogate.agent import UsageRule
from aiogate.exchange import Usage
from aiogate.usage.body import BodyReader, ByteReader
from aiogate.usage.decoding import CODINGS, Decoder, decoder
from aiogate.usage.framing import MARKERS, Events, Records, speaker
from aiogate.usage.pointers import Pointers, finder, markers
from aiogate.usage.recognise import DIALECTS
from aiogate.usage.stream import StreamReader
from aiogate.usage.way import ANY_DIALECT, UNKNOWN, Way

__all__ = ["RECOGNISED", "UsageReader", "is_stream", "reader_for", "reader_maker"]

RECOGNISED: Final = UsageRule()
_EVENTS_TYPE: Final = "text/event-stream"
_RECORD_TYPES: Final = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
    }
)
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED)


class UsageReader(Protocol):
    """Reads one response's usage out of a copy of its bytes; raises nothing, whatever the bytes are."""

    @property
    def absurd(self) -> bool:
        """Whether figures were found that cannot be true; then nothing may be put in their place."""
        ...

    def feed(self, chunk: bytes) -> None:
        """Look at the next chunk, cut anywhere."""
        ...

    def result(self) -> Usage:
        """Return the usage once the response has ended.

        Its source is ``measured``, ``unknown``, or ``estimated`` where a stream was cut that had told its input only.
        """
        ...

    def model(self) -> str | None:
        """Return the model that the answer names, with figures or without."""
        ...

    def estimate(self, request_bytes: int) -> Usage:
        """Return the usage by the rule of ``aiogate.usage.estimate``, for a request of so many bytes of body."""
        ...


def reader_for(
    content_type: str, content_encoding: str | None, status: int, rule: UsageRule = RECOGNISED
) -> UsageReader | None:
    """Return a new reader for a response with this head, or None when nothing can be read out of it.

    JSON, Server-Sent Events and newline-delimited JSON are read, as they are or through gzip, deflate or brotli. For an
    agent with ``usage = "estimate"`` there is a reader for every answer that has a body, for others only for these.
    """
    make = reader_maker(content_type, content_encoding, status, rule.kind, rule.pointers)
    return None if make is None else make()


@lru_cache(maxsize=512)
def reader_maker(
    content_type: str, content_encoding: str | None, status: int, kind: str, pointers: Pointers
) -> Callable[[], UsageReader] | None:
    """Return what makes the readers for responses with such a head; heads repeat, so each is understood once."""
    if status < HTTPStatus.OK or status in _WITHOUT_BODY:
        return None
    coding = (content_encoding or "").strip().lower()
    make = _maker(_media_type(content_type), kind, pointers)
    if make is not None and coding in CODINGS:
        return partial(_decoded, make, coding)
    if kind == "estimate" and (make is None or coding not in {"", "identity"}):
        return ByteReader
    return make if coding in {"", "identity"} else None


@lru_cache(maxsize=512)
def is_stream(content_type: str) -> bool:
    """Tell whether an answer of this ``Content-Type`` comes event by event, or record by record."""
    media_type = _media_type(content_type)
    return media_type == _EVENTS_TYPE or media_type in _RECORD_TYPES


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _maker(media_type: str, kind: str, pointers: Pointers) -> Callable[[], UsageReader] | None:
    if pointers:
        way = Way(markers(pointers), finder(pointers))
    else:
        way = Way(MARKERS, DIALECTS[kind]) if kind in DIALECTS else ANY_DIALECT
    if media_type == _EVENTS_TYPE:
        in_events = way.speaks if pointers else speaker((b"usage",))  # Ollama's counters come in records only
        return lambda: StreamReader(Events(in_events), way)
    if media_type in _RECORD_TYPES:
        return lambda: StreamReader(Records(way.speaks), way)
    if media_type == "application/json" or media_type.endswith("+json"):
        return BodyReader if way is ANY_DIALECT else partial(_by, way)
    return None


def _by(way: Way) -> BodyReader:
    reader = BodyReader()
    reader.way = way
    return reader


def _decoded(make: Callable[[], UsageReader], coding: str) -> UsageReader:
    return _Decoded(make(), coding)


class _Decoded:
    """Reads an answer through its content coding; where that fails or unfolds without end the usage is unknown."""

    __slots__ = ("_bytes", "_decoder", "_reader")

    def __init__(self, reader: UsageReader, coding: str) -> None:
        self._reader = reader
        self._decoder: Decoder | None = decoder(coding)
        self._bytes = ByteReader()

    @property
    def absurd(self) -> bool:
        return self._reader.absurd

    def feed(self, chunk: bytes) -> None:
        self._bytes.feed(chunk)
        if self._decoder is not None:
            found = self._decoder.decode(chunk)
            if found is None:
                self._decoder = None
            elif found:
                self._reader.feed(found)

    def result(self) -> Usage:
        return UNKNOWN if self._decoder is None else self._reader.result()

    def model(self) -> str | None:
        return None if self._decoder is None else self._reader.model()

    def estimate(self, request_bytes: int) -> Usage:
        return (self._bytes if self._decoder is None else self._reader).estimate(request_bytes)
