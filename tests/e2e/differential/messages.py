"""The messages of a generated exchange: facts, and the bytes that go over the wire.

Knows nothing of sockets or gateways. RFC 9112.
"""

import enum
import itertools

import attrs

__all__ = ["Answer", "Body", "Ends", "Exchange", "Framing", "Headers", "Request", "in_pieces"]

Headers = tuple[tuple[bytes, bytes], ...]


class Framing(enum.StrEnum):
    """How the end of a body is told."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


class Ends(enum.StrEnum):
    """What the agent does after its answer."""

    KEEPS = "keeps the connection"
    CLOSES = "closes after the answer"
    BREAKS_OFF = "closes amid the answer"


@attrs.frozen(kw_only=True)
class Body:
    """A body in pieces, which are its chunks where it is chunked. ``extension`` stands behind each chunk's size."""

    framing: Framing
    pieces: tuple[bytes, ...] = attrs.field(default=(), repr=lambda pieces: f"of {[len(piece) for piece in pieces]}")
    extension: bytes = b""
    trailers: Headers = ()

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def header(self) -> Headers:
        """The header that tells the framing."""
        if self.framing is Framing.LENGTH:
            return ((b"Content-Length", b"%d" % len(self.content)),)
        return ((b"Transfer-Encoding", b"chunked"),) if self.framing is Framing.CHUNKED else ()

    def encoded(self) -> bytes:
        if self.framing is not Framing.CHUNKED:
            return self.content
        chunks = [b"%X%b\r\n%b\r\n" % (len(piece), self.extension, piece) for piece in self.pieces if piece]
        return b"".join([*chunks, b"00" + self.extension + b"\r\n", _lines(self.trailers), b"\r\n"])


@attrs.frozen(kw_only=True)
class Request:
    """What the client sends.

    Args:
        target: the agent's.
        expects_continue: the body waits for ``100 Continue``.
        withholds: so many bytes at the end of the body wait for an answer, and are not sent after it.
        cuts: the offsets between writes.
    """

    method: bytes
    target: bytes
    version: bytes = b"HTTP/1.1"
    headers: Headers = ()
    body: Body = Body(framing=Framing.NONE)
    expects_continue: bool = False
    withholds: int = 0
    cuts: tuple[int, ...] = attrs.field(default=(), repr=False)

    def head(self, prefix: bytes) -> bytes:
        """Return the head; ``prefix`` stands before the target, as a gateway asks for it."""
        target = b"%b %b%b %b\r\n" % (self.method, prefix, self.target, self.version)
        expect = ((b"Expect", b"100-continue"),) if self.expects_continue else ()
        return target + _lines((*self.headers, *self.body.header, *expect)) + b"\r\n"


@attrs.frozen(kw_only=True)
class Answer:
    """What the agent sends.

    Args:
        interim: heads of 1xx answers before the final one, whole.
        reason: None: not even the space before it.
        early: sent when the request's head is there; otherwise when the request is.
        shown_body: False: the headers speak of a body that is not sent (HEAD, 304).
        lost_bytes: how many bytes are missing at the end where it ``BREAKS_OFF``.
    """

    interim: tuple[bytes, ...] = ()
    version: bytes = b"HTTP/1.1"
    status: int = 200
    reason: bytes | None = b"OK"
    headers: Headers = ()
    body: Body = Body(framing=Framing.NONE)
    shown_body: bool = True
    early: bool = False
    ends: Ends = Ends.KEEPS
    lost_bytes: int = 0
    cuts: tuple[int, ...] = attrs.field(default=(), repr=False)

    def encoded(self) -> bytes:
        reason = b"" if self.reason is None else b" " + self.reason
        head = b"%b %d%b\r\n%b\r\n" % (self.version, self.status, reason, _lines((*self.headers, *self.body.header)))
        whole = b"".join(self.interim) + head + (self.body.encoded() if self.shown_body else b"")
        return whole[: len(whole) - self.lost_bytes]


@attrs.frozen(kw_only=True)
class Exchange:
    """One request and the answer to it. ``name`` says how to make it again."""

    name: str
    request: Request
    answer: Answer


def in_pieces(data: bytes, cuts: tuple[int, ...]) -> list[bytes]:
    """Return the data, cut at these offsets."""
    places = sorted({0, len(data), *(cut for cut in cuts if 0 < cut < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def _lines(headers: Headers) -> bytes:
    return b"".join(b"%b:%b\r\n" % (name, value) for name, value in headers)
