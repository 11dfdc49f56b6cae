"""Heads that are none: request lines and header fields (RFC 9112 sections 2 to 5)."""

from tests.e2e.hostile.request import SECRET, Hostile, post


def field(name: str, *lines: bytes, body: bytes | None = None, optional: bool = False) -> Hostile:
    """A request with further lines in its head."""
    return Hostile(name=f"field {name}", raw=post(*lines), body=body, optional=optional)


def whole(name: str, raw: bytes, *, body: bytes | None = None, method: str = "POST", ends: bool = False) -> Hostile:
    """Something in the place of a request."""
    return Hostile(name=name, raw=raw, body=body, method=method, optional=True, ends=ends)


def host(name: str, value: bytes, *, body: bytes | None = None) -> Hostile:
    """A request to a host."""
    raw = b"GET /agents/echo/x HTTP/1.1\r\nHost:%b\r\n\r\n" % value
    return whole(f"host {name}", raw, body=body, method="GET")


REQUESTS = (
    field("with a NUL", b"X: a\0b"),
    field("name with a NUL", b"X\0Y: a"),
    field("with a credential and a NUL", b"X-API-Key: " + SECRET + b"\0"),
    field("with a bell", b"X: a\7b"),
    field("with a DEL", b"X: a\x7fb"),
    field("with an escape", b"X: a\x1b[2J"),
    field("with a vertical tab", b"X: a\x0bb"),
    field("with a bare CR", b"X: a\rb"),
    field("with a bare LF", b"X: a\nX-User-Id: admin"),
    field("that is folded", b"X: a", b" b"),
    field("that is folded by a tab", b"X: a", b"\tb"),
    field("with a space before its colon", b"X : a"),
    field("with a tab before its colon", b"X\t: a"),
    field("without a colon", b"nonsense"),
    field("without a name", b": a"),
    field("name with a space", b"X Y: a"),
    field("name with parentheses", b"X(Y): a"),
    field("name with a quote", b'X"Y": a'),
    field("name with a slash", b"X/Y: a"),
    field("name that is not ASCII", "Ü: a".encode()),
    field("name with a CR", b"X\rY: a"),
    field("that is not UTF-8", b"X: a\xff\xfe", body=b"", optional=True),
    field("of 100 KB", b"X: " + b"y" * 100_000),
    field("name of 100 KB", b"y" * 100_000 + b": x"),
    field("of 1 MB in many", *(b"X-%d: " % number + b"y" * 1000 for number in range(1000))),
    field("thirty thousand times", *[b"X: y"] * 30_000),
    field("Host twice", b"Host: other"),
    field("Host twice, the same", b"Host: gateway", body=b"", optional=True),
    field("Expect of its own", b"Expect: the-spanish-inquisition", body=b"", optional=True),
    field("Expect that is not UTF-8", b"Expect: \xff", body=b"", optional=True),
    field("Expect twice", b"Expect: 100-continue", b"Expect: 100-continue", body=b"", optional=True),
    field("Connection of 5 KB", b"Connection: " + b"a, " * 1700, body=b"", optional=True),
    field("Connection that names Host", b"Connection: Host, X-User-Id, Via, X-Request-Id", body=b"", optional=True),
    field("Upgrade to h2c", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAA", body=b""),
    field("Upgrade by POST", b"Connection: Upgrade", b"Upgrade: websocket", body=b"", optional=True),
    field("encoded that is not", b"Content-Encoding: gzip", body=b"", optional=True),
    whole("no host", b"GET /agents/echo/x HTTP/1.1\r\n\r\n", body=b"", method="GET"),
    host("that is empty", b"", body=b""),
    host("with a port", b" a:8080", body=b""),
    host("with a path", b" a/b"),
    host("with a user", b" a@b"),
    host("with a space", b" a b"),
    host("with a comma", b" a, b"),
    whole("lines that end in LF", b"GET /agents/echo/x HTTP/1.1\nHost: gateway\n\n"),
    whole("lines that end in CR", b"GET /agents/echo/x HTTP/1.1\rHost: gateway\r\r", ends=True),
    whole("empty lines first", b"\r\n\r\n" + post(), body=b""),
    whole("a space first", b" " + post()),
    whole("a NUL first", b"\0" + post()),
    whole("a byte order mark first", b"\xef\xbb\xbf" + post()),
    whole("two spaces in the request line", post(method=b"POST "), body=b""),
    whole("tabs in the request line", post().replace(b" ", b"\t", 2)),
    whole("no version", b"GET /agents/echo/x\r\n\r\n"),
    whole("HTTP/0.9", post(version=b"HTTP/0.9")),
    whole("HTTP/1.2", post(version=b"HTTP/1.2"), body=b""),
    whole("HTTP/1.10", post(version=b"HTTP/1.10")),
    whole("HTTP/2.0", post(version=b"HTTP/2.0")),
    whole("HTTP/9.9", post(version=b"HTTP/9.9")),
    whole("small letters in the version", post(version=b"http/1.1")),
    whole("a space after the version", post(version=b"HTTP/1.1 ")),
    whole("another word after the version", post(version=b"HTTP/1.1 HTTP/1.1")),
    whole("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
    whole("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500),
    whole("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    whole("Redis", b"*1\r\n$4\r\nPING\r\n"),
    whole("a PROXY line", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + post()),
    whole("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    whole("NULs", b"\0" * 1000),
    whole("half a head", post()[:60], ends=True),
    whole("a method in small letters", post(method=b"post"), body=b"", method="post"),
    whole("a method of its own", post(method=b"FROB"), body=b"", method="FROB"),
    whole("a method of 10 KB", post(method=b"F" * 10_000), body=b"", method="F" * 10_000),
    whole("a method of 100 KB", post(method=b"F" * 100_000)),
    whole("a method with a NUL", post(method=b"PO\0ST")),
    whole("a method with parentheses", post(method=b"PO(S)T")),
)
