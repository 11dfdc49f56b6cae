"""Where does the body end? Lengths and transfer codings that two parsers may read in two ways (RFC 9112, 6)."""

from tests.e2e.hostile.request import Hostile, post

HELLO = b"hello"
SMUGGLED = b"GET /agents/echo/smuggled HTTP/1.1\r\nHost: gateway\r\n\r\n"
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


def length(name: str, *values: bytes, body: bytes | None = None, optional: bool = False) -> Hostile:
    """A request whose length is given in these ways."""
    raw = post(*(b"Content-Length:" + value for value in values), body=HELLO)
    return Hostile(name=f"length {name}", raw=raw, body=body, optional=optional)


def coding(name: str, *lines: bytes, body: bytes | None = None, optional: bool = False) -> Hostile:
    """A request in chunks whose transfer coding is given in these lines."""
    return Hostile(name=f"coding {name}", raw=post(*lines, body=CHUNKED), body=body, optional=optional)


REQUESTS = (
    length("twice, different", b" 5", b" 6"),
    length("twice, the longer first", b" 6", b" 5"),
    length("twice, the same", b" 5", b" 5", body=HELLO, optional=True),
    length("as a list of two", b" 5, 6"),
    length("as a list of equals", b" 5, 5", body=HELLO, optional=True),
    length("with a plus", b" +5"),
    length("negative", b" -5"),
    length("in hexadecimals", b" 0x5"),
    length("with a gap", b" 5 5"),
    length("empty", b""),
    length("of spaces", b"   "),
    length("with a semicolon", b" 5;"),
    length("as a float", b" 5.0"),
    length("with an exponent", b" 5e0"),
    length("with an underscore", b" 0_5"),
    length("in fullwidth digits", b" \xef\xbc\x95"),
    length("of more than 64 bits", b" 18446744073709551621"),
    length("of thirty digits", b" 1" + b"0" * 30),
    length("over the bound", b" 1000000000"),
    length("with a vertical tab", b" \x0b5"),
    length("with a NUL", b" 5\0"),
    length("with white space about it", b" \t5 \t", body=HELLO),
    length("with leading zeros", b" 00005", body=HELLO, optional=True),
    Hostile(
        name="length under an underscored name",
        raw=post(b"Content-Length: 5", b"Content_Length: 50", body=HELLO),
        body=HELLO,
        absent=("content_length",),
    ),
    Hostile(
        name="length that Connection names",
        raw=post(b"Content-Length: 5", b"Connection: Content-Length", body=HELLO),
        body=HELLO,
    ),
    Hostile(
        name="length with a smuggled request as its body",
        raw=post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
        body=SMUGGLED,
    ),
    Hostile(
        name="length of 0 before a second request",
        raw=post(b"Content-Length: 0", body=SMUGGLED),
        body=b"",
        then=("/smuggled",),
    ),
    Hostile(name="no length before a second request", raw=post(body=SMUGGLED), body=b"", then=("/smuggled",)),
    Hostile(
        name="GET with a body that is a request",
        raw=post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED, method=b"GET"),
        body=SMUGGLED,
        method="GET",
        optional=True,
    ),
    Hostile(name="length never reached", raw=post(b"Content-Length: 50", body=HELLO), ends=True),
    Hostile(name="length and nothing", raw=post(b"Content-Length: 50"), ends=True),
    Hostile(name="long length never reached", raw=post(b"Content-Length: 500000", body=b"q" * 90_000), ends=True),
    coding("and length", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    coding("before length", b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    coding("and length of 0", b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    Hostile(
        name="coding and length: CL.TE",
        raw=post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG" + SMUGGLED),
    ),
    Hostile(
        name="coding and length: TE.CL",
        raw=post(
            b"Content-Length: 4",
            b"Transfer-Encoding: chunked",
            body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        ),
    ),
    coding("chunked twice in one", b"Transfer-Encoding: chunked, chunked"),
    coding("chunked twice", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    coding(
        "gzip first",
        b"Transfer-Encoding: gzip, chunked",
    ),
    coding("gzip last", b"Transfer-Encoding: chunked, gzip"),
    coding("gzip alone", b"Transfer-Encoding: gzip"),
    coding("identity", b"Transfer-Encoding: identity"),
    coding("identity after chunked", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    coding("identity before chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
    coding("of its own", b"Transfer-Encoding: xchunked"),
    coding("in quotes", b'Transfer-Encoding: "chunked"'),
    coding("with a parameter", b"Transfer-Encoding: chunked;q=1"),
    coding("empty", b"Transfer-Encoding:"),
    coding("with a comma before it", b"Transfer-Encoding: , chunked", body=HELLO, optional=True),
    coding("with a comma after it", b"Transfer-Encoding: chunked,"),
    coding("with a vertical tab", b"Transfer-Encoding: \x0bchunked"),
    coding("with a NUL", b"Transfer-Encoding: chunked\0"),
    coding("with a bare CR", b"Transfer-Encoding: chunked\rX: y"),
    coding("after a space before the colon", b"Content-Length: 5", b"Transfer-Encoding : chunked"),
    coding("after a tab before the colon", b"Content-Length: 5", b"Transfer-Encoding\t: chunked"),
    coding("folded away", b"Content-Length: 5", b"X: y", b" Transfer-Encoding: chunked"),
    coding("folded", b"Transfer-Encoding:", b" chunked"),
    coding("after a bare LF", b"Content-Length: 5", b"X: y\nTransfer-Encoding: chunked"),
    coding("after a bare CR", b"Content-Length: 5", b"X: y\rTransfer-Encoding: chunked"),
    coding("in capitals", b"TRANSFER-ENCODING: CHUNKED", body=HELLO),
    coding("with white space about it", b"Transfer-Encoding: \tchunked \t", body=HELLO, optional=True),
    coding("that Connection names", b"Transfer-Encoding: chunked", b"Connection: Transfer-Encoding", body=HELLO),
    Hostile(
        name="coding under an underscored name",
        raw=post(b"Content-Length: 5", b"Transfer_Encoding: chunked", body=HELLO),
        body=HELLO,
        absent=("transfer_encoding",),
    ),
    Hostile(
        name="coding in HTTP/1.0",
        raw=post(b"Transfer-Encoding: chunked", body=CHUNKED, version=b"HTTP/1.0"),
        body=HELLO,
        optional=True,
    ),
    Hostile(
        name="coding on GET",
        raw=post(b"Transfer-Encoding: chunked", body=CHUNKED, method=b"GET"),
        body=HELLO,
        method="GET",
        optional=True,
    ),
)
