"""Valid responses of every kind, and what is to come of them; cuts through them."""

import itertools
import string

import attrs
from hypothesis import strategies as st

from tests.proxy.upstream.wires import Got

_TOKEN = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=8)
_NAMES = _TOKEN.map(lambda token: b"X-" + token.encode())
_VALUES = st.binary(max_size=12).map(lambda value: bytes(byte for byte in value if byte in _IN_A_VALUE).strip())
_IN_A_VALUE = frozenset([9, *range(32, 127), *range(128, 256)])
_BEFORE = st.sampled_from([b"", b" ", b"\t", b"  "])
_BEHIND = st.sampled_from([b"", b" ", b"  "])
FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=4)
_EXTENSIONS = st.sampled_from([b"", b"", b";a", b";a=1", b';a="b;c"', b";a;b=2"])
_REASONS = st.sampled_from([b"OK", b"", b"Not As Usual", b"gr\xfc\xdf dich", b"a\tb"])


@attrs.frozen
class Answer:
    """What an agent sends to one request, and what is to come of it.

    ``until_close`` tells that only the end of the connection is the end of the body; of a response that switches
    protocols likewise.
    """

    wire: bytes
    got: Got
    head_bytes: int
    is_head: bool = False
    upgrade: bool = False
    until_close: bool = False


@st.composite
def _lines(draw: st.DrawFn, fields: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b:%b%b%b\r\n" % (name, draw(_BEFORE), value, draw(_BEHIND)) for name, value in fields)


@st.composite
def _chunks(draw: st.DrawFn, body: bytes) -> bytes:
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=4)))
    wire = b""
    for start, end in itertools.pairwise([0, *cuts, len(body)]):
        if piece := body[start:end]:
            size = draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % len(piece)
            wire += b"%b%b\r\n%b\r\n" % (size, draw(_EXTENSIONS), piece)
    trailers = draw(FIELDS.flatmap(_lines))
    return b"%b0%b\r\n%b\r\n" % (wire, draw(_EXTENSIONS), trailers)


_INTERIM = st.tuples(st.sampled_from([100, 102, 103, 104, 199]), FIELDS.flatmap(_lines)).map(
    lambda drawn: b"HTTP/1.1 %d Wait\r\n%b\r\n" % drawn
)
INTERIMS = st.lists(_INTERIM, max_size=2).map(b"".join)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Draw a final response with interim ones before it."""
    status = draw(st.sampled_from([200, 200, 200, 201, 206, 204, 304, 400, 404, 429, 500, 503, 599]))
    is_head = draw(st.sampled_from([False, False, False, True]))
    has_body = not is_head and status not in (204, 304)
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    version, connection = draw(st.sampled_from(_KEPT + _NOT_KEPT))
    reason, fields = draw(_REASONS), draw(FIELDS)
    body = draw(st.binary(max_size=40)) if status != 204 else b""
    framed, wire_body = _NO_FRAMING, body
    if framing == "length":
        framed = ((b"Content-Length", b"%d" % len(body)),)
    elif framing == "chunked":
        framed, wire_body = (
            ((b"Transfer-Encoding", draw(st.sampled_from([b"chunked", b"Chunked"]))),),
            draw(_chunks(body)),
        )
    sent = draw(st.permutations([*fields, *framed, *connection]))
    line = b"HTTP/%b %d%b\r\n" % (version, status, b" " + reason if reason or draw(st.booleans()) else b"")
    head = draw(INTERIMS) + line + draw(_lines(sent)) + b"\r\n"
    until_close = has_body and framing == "close"
    in_doubt = is_head and (framing == "chunked" or (framing == "close" and status not in (204, 304)))
    kept = (version, connection) in _KEPT and not until_close and not in_doubt
    got = Got(
        status=status,
        reason=reason,
        fields=tuple(field for field in sent if field[0].lower() not in _HOP_BY_HOP),
        length=b"%d" % len(body) if framing == "length" else None,
        chunked=framing == "chunked",
        body=body if has_body else b"",
        state="reusable" if kept else "closed",
    )
    return Answer(head + (wire_body if has_body else b""), got, len(head), is_head, until_close=until_close)


_HOP_BY_HOP = (b"transfer-encoding", b"connection")
_NO_FRAMING: tuple[tuple[bytes, bytes], ...] = ()
_KEPT: list[tuple[bytes, tuple[tuple[bytes, bytes], ...]]] = [
    (b"1.1", ()),
    (b"1.1", ()),
    (b"1.1", ((b"Connection", b"keep-alive"),)),
    (b"1.1", ((b"connection", b"X-Other"),)),
    (b"1.0", ((b"Connection", b"Keep-Alive"),)),
]
_NOT_KEPT: list[tuple[bytes, tuple[tuple[bytes, bytes], ...]]] = [
    (b"1.0", ()),
    (b"1.1", ((b"Connection", b"close"),)),
    (b"1.1", ((b"Connection", b"X-Other, Close"),)),
]


@st.composite
def switches(draw: st.DrawFn) -> Answer:
    """Draw a switch of protocols with the bytes of the new one behind it."""
    fields, raw = draw(FIELDS), draw(st.binary(max_size=40))
    sent = draw(st.permutations([*fields, (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]))
    head = draw(INTERIMS) + b"HTTP/1.1 101 Switching\r\n" + draw(_lines(sent)) + b"\r\n"
    got = Got(101, b"Switching", tuple(field for field in sent if field in fields), None, body=raw, state="closed")
    return Answer(head + raw, attrs.evolve(got, upgraded=True), len(head), upgrade=True, until_close=True)


PLACES = st.lists(st.integers(0, 10_000), max_size=8)


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    """Cut into pieces, none of them empty."""
    borders = sorted({0, len(wire), *(place % max(1, len(wire)) for place in places)})
    return [wire[start:end] for start, end in itertools.pairwise(borders)]


@attrs.frozen
class Damage:
    """What happens to bytes on their way: bits flip, bytes come in or go missing, at places modulo size."""

    flips: list[tuple[int, int]]
    inserted: list[tuple[int, bytes]]
    removed: list[int]

    def __call__(self, wire: bytes) -> bytes:
        """Return the damaged bytes."""
        damaged = bytearray(wire)
        for place, bit in self.flips:
            damaged[place % len(damaged)] ^= 1 << bit
        for place, more in self.inserted:
            at = place % (len(damaged) + 1)
            damaged[at:at] = more
        for place in self.removed:
            del damaged[place % len(damaged)]
        return bytes(damaged)


_PLACE = st.integers(0, 10_000)
_AWKWARD = st.sampled_from(
    [
        *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"-", b"+", b"\x80", b"\x7f"),
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n\r\nHTTP/1.1 200 ",
    ]
)
DAMAGE = st.builds(
    Damage,
    st.lists(st.tuples(_PLACE, st.integers(0, 7)), max_size=2),
    st.lists(st.tuples(_PLACE, _AWKWARD | st.binary(max_size=4)), max_size=2),
    st.lists(_PLACE, max_size=2),
)
