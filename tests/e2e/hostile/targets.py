"""Targets that lead elsewhere, or that two parsers could read in two ways (RFC 9112 section 3.2, RFC 3986)."""

from tests.e2e.hostile.request import Hostile, post

NOTHING_THERE = frozenset({404})


def asks(
    name: str,
    target: bytes,
    *,
    seen: str | None = None,
    method: bytes = b"GET",
    statuses: frozenset[int] = frozenset({400, 414, 431}),
) -> Hostile:
    """A request for a target; ``seen`` is what the agent may see of it."""
    return Hostile(
        name=f"target {name}",
        raw=post(target=target, method=method),
        body=None if seen is None else b"",
        target=seen or "",
        method=method.decode(),
        optional=True,
        statuses=statuses,
    )


REQUESTS = (
    asks("absolute, to another host", b"http://evil.example/agents/echo/x", seen="/x"),
    asks("absolute, with a user", b"http://u:p@gateway/agents/echo/x", seen="/x"),
    asks("absolute, over https", b"https://gateway:443/agents/echo/x", seen="/x"),
    asks("absolute, without a path", b"http://gateway", statuses=NOTHING_THERE),
    asks("absolute, without a host", b"http:///agents/echo/x", seen="/x"),
    asks("absolute, of a file", b"file:///etc/passwd"),
    asks("absolute, of a script", b"javascript:alert(1)"),
    asks("authority", b"evil.example:80"),
    asks("authority by CONNECT", b"evil.example:443", method=b"CONNECT"),
    asks(
        "path by CONNECT",
        b"/agents/echo/x",
        method=b"CONNECT",
        statuses=frozenset({400, 405, 501}),
    ),
    asks(
        "path by TRACE",
        b"/agents/echo/x",
        method=b"TRACE",
        statuses=frozenset({400, 405, 501}),
    ),
    asks("asterisk", b"*"),
    asks("asterisk by OPTIONS", b"*", method=b"OPTIONS"),
    asks("of a query alone", b"?x=1"),
    asks("without a slash", b"agents/echo/x"),
    asks("empty", b""),
    asks("with two slashes first", b"//evil.example/agents/echo/x"),
    asks("with a fragment", b"/agents/echo/x#y"),
    asks("with a space", b"/agents/echo/x y"),
    asks("with a tab", b"/agents/echo/x\ty"),
    asks("with a NUL", b"/agents/echo/x\0y"),
    asks("with a bare CR", b"/agents/echo/x\ry"),
    asks("with a bare LF", b"/agents/echo/x\ny"),
    asks("with a DEL", b"/agents/echo/x\x7f"),
    asks("that is UTF-8", "/agents/echo/ü".encode(), seen="/ü"),
    asks("that is not UTF-8", b"/agents/echo/\xff\xfe"),
    asks("with an encoded line end", b"/agents/echo/x%0d%0aX:%20y", seen="/x%0d%0aX:%20y"),
    asks("with an encoded NUL", b"/agents/echo/x%00y", seen="/x%00y"),
    asks("with half an escape", b"/agents/echo/x%", seen="/x%"),
    asks("with an escape that is none", b"/agents/echo/%zz", seen="/%zz"),
    asks("with a backslash", b"/agents/echo/a\\b", seen="/a\\b"),
    asks("with quotes and brackets", b'/agents/echo/<"{|}^`>', seen='/<"{|}^`>'),
    asks("up", b"/agents/echo/../other"),
    asks("up, encoded", b"/agents/echo/%2e%2e/other"),
    asks("up, half encoded", b"/agents/echo/.%2E/other"),
    asks("up, with an encoded slash", b"/agents/echo/..%2fother"),
    asks("up, with a backslash", b"/agents/echo/..\\other"),
    asks("up, with an encoded backslash", b"/agents/echo/..%5cother"),
    asks("up, at the end", b"/agents/echo/.."),
    asks("up, with a parameter", b"/agents/echo/..;/other", seen="/..;/other"),
    asks("up, encoded twice", b"/agents/echo/%252e%252e/other", seen="/%252e%252e/other"),
    asks("up, in the query", b"/agents/echo/x?../..", seen="/x?../.."),
    asks("of 100 KB", b"/agents/echo/" + b"x" * 100_000),
    asks("with a query of 100 KB", b"/agents/echo/x?" + b"x" * 100_000),
)
