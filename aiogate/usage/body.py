"""Reads the usage out of answers that have no inner borders: one JSON text, or bytes of any kind.

Knows neither dialects nor heads of responses.
"""

from typing import Final

import orjson

from aiogate.exchange import Usage
from aiogate.usage.estimate import estimated, model_in, text_bytes
from aiogate.usage.figures import AbsurdError
from aiogate.usage.way import ANY_DIALECT, UNKNOWN, tell

__all__ = ["MAX_BODY_BYTES", "BodyReader", "ByteReader"]

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
_END_BYTES: Final = 8192


class BodyReader:
    """Reads the usage out of a whole JSON body of at most ``MAX_BODY_BYTES``; that of a larger one stays unknown.

    A body that comes in one piece is not copied. Of a larger one both ends are kept, for the model and an estimate.
    """

    absurd = False
    way = ANY_DIALECT
    _body: bytes | bytearray = b""
    _size = 0
    _head = b""
    _tail = b""

    def feed(self, chunk: bytes) -> None:
        """Keep a chunk, or a copy of it."""
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            if not self._head:
                self._head = (bytes(self._body[:_END_BYTES]) + chunk[:_END_BYTES])[:_END_BYTES]
            self._tail = (self._tail + chunk[-_END_BYTES:])[-_END_BYTES:]
            self._body = b""
        elif not self._body:
            self._body = chunk
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += chunk

    def result(self) -> Usage:
        """Return what the body says."""
        body, way = self._body, self.way
        for marker in way.markers:
            if marker in body:
                break
        else:
            return UNKNOWN
        found = None
        try:
            found = way.find(orjson.loads(body))
            return UNKNOWN if found is None else found[0](found[1], found[2])
        except orjson.JSONDecodeError:
            return UNKNOWN
        except AbsurdError as absurd:
            self.absurd = True
            tell(found, absurd)
            return UNKNOWN

    def model(self) -> str | None:
        """Return the model that the body names."""
        return model_in(self._body or self._head) or model_in(self._tail)

    def estimate(self, request_bytes: int) -> Usage:
        """Return the estimate; of a body that was too large to be kept the share of texts in its beginning counts."""
        body, head = self._body, self._head
        size = text_bytes(head) * self._size // len(head) if head else text_bytes(body)
        return estimated(self.model(), request_bytes, size)


class ByteReader:
    """Counts the bytes of an answer that no dialect speaks, or whose usage is known before it has begun."""

    absurd = False
    _size = 0

    def __init__(self, usage: Usage = UNKNOWN) -> None:
        self._usage = usage

    def feed(self, chunk: bytes) -> None:
        """Count a chunk."""
        self._size += len(chunk)

    def result(self) -> Usage:
        """Return what was known before."""
        return self._usage

    def model(self) -> str | None:
        """Return the model that was known before."""
        return self._usage.model

    def estimate(self, request_bytes: int) -> Usage:
        """Return the estimate of all bytes; those of a coding that cannot be undone as they are."""
        return estimated(None, request_bytes, self._size)
