"""Chooses the reader for a response by what its head says.

Knows no dialect from the inside.
"""

from http import HTTPStatus
from typing import Final, Protocol

from aiogate.exchange import Usage
from aiogate.usage.framing import Events, Records
from aiogate.usage.openai import BodyReader, StreamReader

__all__ = ["UsageReader", "reader_for"]

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
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})


class UsageReader(Protocol):
    """Reads one response's usage out of a copy of its bytes; raises nothing, whatever the bytes are."""

    def feed(self, chunk: bytes) -> None:
        """Look at the next chunk, cut anywhere."""
        ...

    def result(self) -> Usage:
        """Return the usage once the response has ended; its source is ``measured`` or ``unknown``."""
        ...


def reader_for(content_type: str, content_encoding: str | None, status: int) -> UsageReader | None:
    """Return a new reader for a response with this head, or None when nothing can be read out of it.

    JSON, Server-Sent Events and newline-delimited JSON are read, as long as they are not compressed.
    """
    if status < HTTPStatus.OK or status in _WITHOUT_BODY:
        return None
    if content_encoding and content_encoding.strip().lower() != "identity":
        return None
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "text/event-stream":
        return StreamReader(Events())
    if media_type in _RECORD_TYPES:
        return StreamReader(Records())
    return BodyReader() if media_type == "application/json" or media_type.endswith("+json") else None
