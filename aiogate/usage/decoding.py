"""Undoes gzip, deflate and brotli for a reader, on a copy of what the client got.

A bomb is not worked on: a chunk may unfold to a megabyte or to ``_RATIO`` times its size, all of an answer to
``MAX_DECODED_BYTES``. Beyond, or where the bytes are not what their header says, nothing more is read.
Knows nothing of what the bytes mean. RFC 9110 section 8.4.1, RFC 1950 to 1952, RFC 7932.
"""

import zlib
from functools import lru_cache
from typing import Any, Final, Protocol

__all__ = ["CODINGS", "MAX_DECODED_BYTES", "Decoder", "decoder", "readable_codings"]

MAX_DECODED_BYTES: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_RATIO: Final = 16
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB_HEADER_BYTES: Final = 2
_MEMBERS: Final = 64
CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate", "br"})
_READABLE: Final = CODINGS | {"identity"}


@lru_cache(maxsize=512)
def readable_codings(accepted: str) -> str:
    """Return an ``Accept-Encoding`` without what no reader can undo, such as ``zstd`` and ``*``; else ``identity``."""
    said = [part.strip() for part in accepted.split(",")]
    return ", ".join(part for part in said if _name(part) in _READABLE) or "identity"


def _name(part: str) -> str:
    return part.partition(";")[0].strip().lower()


class Decoder(Protocol):
    """Decodes one answer."""

    def decode(self, chunk: bytes) -> bytes | None:
        """Return what a chunk unfolds to; None from the moment on when nothing more will be read."""
        ...


def decoder(coding: str) -> Decoder | None:
    """Return a new decoder for one of ``CODINGS``; None when its library is missing."""
    if coding == "br":
        return _brotli()
    return _Zlib(_GZIP if coding != "deflate" else None)


class _Zlib:
    """Gzip, with as many members as there are, and deflate, with zlib's header or, as some servers send it, without."""

    __slots__ = ("_bits", "_head", "_left", "_members", "_zlib")

    def __init__(self, bits: int | None) -> None:
        self._bits = bits
        self._zlib = None if bits is None else zlib.decompressobj(bits)
        self._head = b""
        self._left = MAX_DECODED_BYTES
        self._members = _MEMBERS if bits == _GZIP else 1

    def decode(self, chunk: bytes) -> bytes | None:
        if self._zlib is None:
            chunk = self._head + chunk
            if len(chunk) < _ZLIB_HEADER_BYTES:
                self._head = chunk
                return b""
            self._zlib = zlib.decompressobj(_deflate_bits(chunk))
        room = min(self._left, max(_CHUNK_BYTES, _RATIO * len(chunk)))
        found = b""
        while chunk and self._members:
            try:
                found += self._zlib.decompress(chunk, room - len(found) + 1)
            except zlib.error:  # behind the last member there may be anything
                return found if self._bits == _GZIP and self._members < _MEMBERS else None
            if len(found) > room:
                return None
            chunk = self._zlib.unused_data
            if self._zlib.eof:
                self._members -= 1
                self._zlib = zlib.decompressobj(_GZIP)
        self._left -= len(found)
        return found


def _deflate_bits(head: bytes) -> int:
    """Return what to tell zlib of a body that begins so: RFC 1950 in front of RFC 1951, or the latter alone."""
    has_header = head[0] & 15 == zlib.DEFLATED and (head[0] << 8 | head[1]) % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _brotli() -> "_Brotli | None":
    try:
        from brotli import Decompressor, error  # noqa: PLC0415 - 5 MB that most gateways never need
    except ImportError:
        return None
    return _Brotli(Decompressor(), error)


class _Brotli:
    """Brotli, by Google's own library."""

    __slots__ = ("_error", "_finished", "_left", "_process")

    def __init__(self, unfolder: Any, error: type[Exception]) -> None:  # noqa: ANN401 - the library has no types
        self._process = unfolder.process
        self._finished = unfolder.is_finished
        self._error = error
        self._left = MAX_DECODED_BYTES

    def decode(self, chunk: bytes) -> bytes | None:
        if self._finished():
            return b""
        room = min(self._left, max(_CHUNK_BYTES, _RATIO * len(chunk)))
        try:
            found: bytes = self._process(chunk, output_buffer_limit=room)
        except self._error:
            return None
        if len(found) >= room:  # the library's buffer grows in blocks and may pass the limit by one
            return None
        self._left -= len(found)
        return found
