"""Reads messages off a stream byte for byte, strictly, for the two ends of the differential test.

Knows nothing of aiogate, whose parsers it must not share.
"""

import asyncio
import re

import attrs

from tests.e2e.differential.messages import Headers

__all__ = ["Head", "Message", "read_body", "read_head", "values"]

_SIZE = re.compile(rb"([0-9A-Fa-f]+)(?:[ \t]*;.*)?\r\n", re.DOTALL)
_STEP = 65536


@attrs.frozen
class Head:
    """A first line in its three parts, and the headers in order, without the blanks around their values."""

    parts: tuple[bytes, bytes, bytes]
    headers: Headers


@attrs.define(kw_only=True)
class Message:
    """What one end has seen of a message; ``whole`` tells that it has seen the end of it."""

    head: Head
    interim: tuple[int, ...] = ()
    body: bytearray = attrs.field(factory=bytearray, repr=lambda body: f"<{len(body)} bytes>")
    trailers: Headers = ()
    whole: bool = False


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Return all values of a header."""
    return [value for other, value in headers if other.lower() == name.lower()]


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Read a first line and headers; raises ``IncompleteReadError`` when the stream ends before."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n").split(b"\r\n")
    parts = (*first.split(b" ", 2), b"", b"")
    return Head((parts[0], parts[1], parts[2]), tuple(_header(line) for line in lines))


async def read_body(reader: asyncio.StreamReader, message: Message, *, is_request: bool) -> None:
    """Read the body into the message, as its head frames it; raises ``IncompleteReadError`` amid it."""
    headers = message.head.headers
    lengths = values(headers, b"Content-Length")
    if codings := values(headers, b"Transfer-Encoding"):
        assert ([coding.lower() for coding in codings], lengths) == ([b"chunked"], [])
        await _read_chunks(reader, message)
    elif lengths:
        assert len(lengths) == 1
        await _read_exactly(reader, message.body, int(lengths[0]))
    elif not is_request:
        while piece := await reader.read(_STEP):
            message.body += piece
    message.whole = True


async def _read_chunks(reader: asyncio.StreamReader, message: Message) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = _SIZE.fullmatch(line)
        assert size is not None, f"no chunk size: {line!r}"
        length = int(size[1], 16)
        if length == 0:
            break
        await _read_exactly(reader, message.body, length)
        assert await reader.readexactly(2) == b"\r\n"
    trailers = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers.append(_header(line.removesuffix(b"\r\n")))
    message.trailers = tuple(trailers)


async def _read_exactly(reader: asyncio.StreamReader, into: bytearray, length: int) -> None:
    while length:
        piece = await reader.read(min(length, _STEP))
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        into += piece
        length -= len(piece)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    assert colon, f"no header: {line!r}"
    assert name, f"no header: {line!r}"
    return name, value.strip(b" \t")
