"""A few short messages with everything in them, to be cut at every byte, and requests that the gateway refuses."""

import attrs

from tests.e2e.differential.messages import Answer, Body, Ends, Framing, Request

__all__ = ["ANSWERS", "REFUSED", "REQUESTS", "Refused", "plain", "with_length"]

_HOST = (b"Host", b" front.example")


def plain(**facts: object) -> Request:
    """Return a GET; ``facts`` are other fields of ``Request``."""
    return Request(**{"method": b"GET", "target": b"/x", "headers": (_HOST,), **facts})  # type: ignore[arg-type] # facts


def with_length(content: bytes) -> Body:
    return Body(framing=Framing.LENGTH, pieces=(content,))


_CHUNKS = Body(
    framing=Framing.CHUNKED, pieces=(b"abc", b"0123456789abcdef"), extension=b';a="b c"', trailers=((b"X-Sum", b" 1"),)
)

REQUESTS = {
    "length": plain(
        method=b"POST",
        headers=(_HOST, (b"X-\xc3\xa4"[:2], b"\xc3\xa4\t"), (b"x-b", b"")),
        body=with_length(b"hello\r\n"),
    ),
    "chunked": plain(method=b"PUT", target=b"/%41?b=%2F", body=_CHUNKS),
    "no body": plain(headers=((b"Via", b" 1.0 fred"), _HOST, (b"Connection", b" close, X-Hop"), (b"X-Hop", b" 1"))),
}

ANSWERS = {
    "length": Answer(
        reason="Schön".encode(),
        headers=((b"X-A", b" \xff\t"), (b"x-a", b"")),
        body=with_length(b"hello\r\n\r\nHTTP/1.1"),
    ),
    "chunked": Answer(headers=((b"Content-Type", b" text/event-stream"),), body=_CHUNKS),
    "until close": Answer(
        version=b"HTTP/1.0", body=Body(framing=Framing.UNTIL_CLOSE, pieces=(b"until close",)), ends=Ends.CLOSES
    ),
    "103 and 100": Answer(
        interim=(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        status=201,
        reason=b"",
        body=with_length(b"ok"),
    ),
    "204": Answer(status=204, reason=None, headers=((b"ETag", b' "x"'),)),
    "304": Answer(
        status=304, headers=((b"Date", b" Tue, 01 Oct 2024 10:00:00 GMT"),), body=with_length(b"x"), shown_body=False
    ),
    "cut off": Answer(body=_CHUNKS, ends=Ends.BREAKS_OFF, lost_bytes=7),
}


@attrs.frozen(kw_only=True)
class Refused:
    """A request that an agent might take and the gateway does not: valid HTTP, or what many take for it."""

    request: Request
    status: int
    why: str
    documented: str


REFUSED = {
    "unknown method": Refused(
        request=plain(method=b"BREW"),
        status=400,
        why="the listener's parser knows the registered methods alone",
        documented="registered methods",
    ),
    "long header": Refused(
        request=plain(headers=(_HOST, (b"X-Long", b" " + b"x" * 20_000))),
        status=431,
        why="a line of the head has 16 KiB at most",
        documented="16 KiB",
    ),
    "many headers": Refused(
        request=plain(headers=(_HOST, *((b"X-%d" % number, b" 1") for number in range(200)))),
        status=431,
        why="a request has 128 headers at most",
        documented="128 headers",
    ),
    "repeated singleton": Refused(
        request=plain(headers=(_HOST, (b"Content-Type", b" a/b"), (b"Content-Type", b" a/b"))),
        status=400,
        why="a header that is no list stands once",
        documented="may stand once",
    ),
    "bare utf-8 in the path": Refused(
        request=plain(target="/ü".encode()),
        status=400,
        why="no URI has such a byte (RFC 3986); some servers take it",
        documented="bare byte",
    ),
    "fragment": Refused(
        request=plain(target=b"/x#y"),
        status=400,
        why="no request has one (RFC 9112 section 3.2)",
        documented="`#`",
    ),
}
