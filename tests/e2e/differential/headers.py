"""Headers as they come: ordinary ones, odd ones, and those that a gateway has an opinion about. All are valid HTTP.

A value keeps the blanks around it, which are no part of it (RFC 9110 section 5.5).
"""

from random import Random

from tests.e2e.differential.messages import Headers

__all__ = ["answer_headers", "request_headers"]

_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

_ODD: tuple[Headers, ...] = (
    ((b"X-Repeated", b" 1"), (b"x-repeated", b" 2"), (b"X-REPEATED", b" 1")),
    ((b"X-Empty", b""), (b"X-Blank", b" \t ")),
    ((b"x-oDd-CaSe", b" Value"),),
    ((b"X-Long", b" " + b"long " * 1600 + b"."),),
    ((b"X-Utf-8", " grüße € 日本".encode()),),
    ((b"X-Latin-1", b" gr\xfc\xdfe \x80\xff"),),
    ((b"X-Tabs", b"a\tb\t\tc  d"),),
    ((b"X-Blanks-Around", b" \t value \t "), (b"X-No-Blank", b"value")),
    ((b"X!#$%&'*+-.^_`|~9", b" every character that a name may have"),),
    ((b"X-Quoted", b' "a, \\"b\\"";c=d, \'e\''),),
    ((b"X-Colons", b" :a:b: c"), (b"1", b" digit")),
    tuple((b"X-Many-%d" % number, b" %d" % number) for number in range(40)),
)
_REQUEST_ONLY: tuple[Headers, ...] = (
    ((b"User-Agent", b" test/1"), (b"Accept", b" */*")),
    ((b"Accept-Encoding", b" gzip, br"),),
    ((b"Cookie", b" a=1"), (b"Cookie", b" b=2; c=3")),
    ((b"Range", b" bytes=0-1"), (b"If-None-Match", b' "x", W/"y"')),
    ((b"Authorization", b" Basic YTpi"), (b"Origin", b" null")),
    ((b"Connection", b" X-Hop, x-HOP-2"), (b"X-Hop", b" 1"), (b"X-Hop-2", b" 2"), (b"x-hop", b" 3")),
    ((b"Connection", b" keep-alive"), (b"Keep-Alive", b" timeout=5"), (b"Proxy-Connection", b" keep-alive")),
    ((b"TE", b" trailers"), (b"Connection", b" TE")),
    ((b"te", b" gzip"), (b"Keep-Alive", b""), (b"HTTP2-Settings", b" AAMAAABk")),
    ((b"Upgrade", b" h2c"), (b"HTTP2-Settings", b" AAMAAABk"), (b"Connection", b" Upgrade, HTTP2-Settings")),
    ((b"Proxy-Authorization", b" Basic YTpi"), (b"Trailer", b" X-Sum")),
    ((b"X-User-Id", b" root"), (b"x_user_roles", b" admin"), (b"X-Agent-Secret", b" 1"), (b"X-Aiogate-Context", b" 1")),
    ((b"X-Forwarded-For", b" 1.2.3.4"), (b"X-Forwarded-Port", b" 1"), (b"Forwarded", b" for=1.2.3.4")),
    ((b"X-Request-Id", b" mine"), (b"X-Request-ID", b" mine too")),
    ((b"Via", b" 1.0 fred, 1.1 example.com"),),
    ((b"traceparent", b" " + _TRACE), (b"tracestate", b" a=1,b=2")),
    ((b"traceparent", b" 00-nonsense"), (b"tracestate", b" a=1")),
)
_ANSWER_ONLY: tuple[Headers, ...] = (
    ((b"Server", b" test/1"), (b"Date", b" Tue, 01 Oct 2024 10:00:00 GMT")),
    ((b"Set-Cookie", b" a=1; Path=/"), (b"Vary", b" Accept"), (b"Set-Cookie", b" b=2"), (b"vary", b" Cookie")),
    ((b"ETag", b' W/"x"'), (b"Cache-Control", b" no-store"), (b"Age", b" 0")),
    ((b"Location", b" /elsewhere?a=%2F#b"), (b"Retry-After", b" 1")),
    ((b"WWW-Authenticate", b' Basic realm="a", Digest qop="auth"'), (b"WWW-Authenticate", b" Bearer")),
    ((b"Proxy-Authenticate", b" Basic"), (b"Proxy-Authentication-Info", b" x")),
    ((b"Connection", b" X-Hop"), (b"X-Hop", b" 1"), (b"Keep-Alive", b" timeout=5")),
    ((b"X-Request-Id", b" the agent's"), (b"Via", b" 1.1 inside")),
    ((b"RateLimit", b' "own";r=1;t=2'), (b"RateLimit-Policy", b' "own";q=5;w=9')),
    ((b"X-Accel-Buffering", b" yes"), (b"Content-Type", b" text/event-stream")),
    ((b"Content-Type", b" text/event-stream; charset=utf-8"),),
    ((b"Content-Type", b" application/json"), (b"Content-Language", b" de, fr")),
    ((b"X-User-Id", b" not ours in an answer"), (b"Trailer", b" X-Sum")),
)


def request_headers(random: Random) -> Headers:
    """Return ``Host`` and some others."""
    host = random.choice([b" front.example", b"front.example:8443", b" [::1]:1", b" 127.0.0.1"])
    return ((b"Host", host), *_some(random, _ODD + _REQUEST_ONLY))


def answer_headers(random: Random) -> Headers:
    return _some(random, _ODD + _ANSWER_ONLY)


def _some(random: Random, groups: tuple[Headers, ...]) -> Headers:
    """Return a few groups, none that would be a second ``Connection`` or ``Content-Type``."""
    found: list[tuple[bytes, bytes]] = []
    for group in random.sample(groups, random.choice([0, 1, 2, 2, 3, 5])):
        names = {name.lower() for name, _ in found}
        if not any(name.lower() in names for name, _ in group):
            found += group
    return tuple(found)
