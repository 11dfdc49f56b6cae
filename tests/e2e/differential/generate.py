"""Makes exchanges by a seed: every one can be made again by its name. All of them are valid HTTP.

Knows what is worth trying, nothing of what comes out of it.
"""

import gzip
import zlib
from collections.abc import Callable
from random import Random

import attrs

from tests.e2e.differential.headers import answer_headers, request_headers
from tests.e2e.differential.messages import Answer, Body, Ends, Exchange, Framing, Headers, Request

__all__ = ["FAMILIES", "generate"]

_SIZES = (0, 1, 2, 100, 1000, 4096, 65535, 65536, 65537, 200_000)
_READ_FIRST = 65536
"""A body of a length up to this is not a thing to withhold from the gateway: ``MANNERS`` has the reason."""
_CODED = {
    b"gzip": gzip.compress(b"hello " * 50, mtime=0),
    b"deflate": zlib.compress(b"hello " * 50),
    b"br": b"\x0b\x02\x80hello\x03",
    b"zstd": b"\x28\xb5\x2f\xfd\x00\x58\x29\x00\x00hello",
    b"gzip, br": b"no such thing, and nobody's business",
}
_EXTENSIONS = (b"", b"", b";a=b", b';name="quoted value";flag')
_TRAILERS: tuple[Headers, ...] = ((), (), ((b"X-Sum", b" 1"), (b"X-Sum", b" 2")), ((b"Set-Cookie", b" evil=1"),))
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"PURGE", b"REPORT")
_TARGETS = (b"/", b"/chat", b"/v1/models/ft:gpt%2Facme%20corp", b"/a%41%c3%a9%252F?x=%2F&x=&x", b"/;m=1,2/$@!*'()~")
_STATUSES = (
    200,
    200,
    201,
    202,
    206,
    226,
    299,
    300,
    302,
    304,
    307,
    400,
    401,
    403,
    404,
    407,
    410,
    418,
    429,
    499,
    500,
    503,
    599,
)
_REASONS = (b"OK", b"Quite  Fine", b"", None, "Schön".encode(), b"Sch\xf6n\t(really)", b"No: such/thing;")
_INTERIM = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nX-Early: 1\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 199 Odd\r\nContent-Type: text/event-stream\r\nDate: never\r\n\r\n",
)


def _requests(random: Random) -> tuple[Request, Answer]:
    return _request(random), _answer(random, body=_body(random, small=True))


def _responses(random: Random) -> tuple[Request, Answer]:
    version = random.choice([b"HTTP/1.1"] * 5 + [b"HTTP/1.0"])
    request = _request(random, small=True, version=version)
    answer = _answer(random)
    if random.random() < 0.25:
        answer = _until_close(random, answer)
    return request, answer


def _interims(random: Random) -> tuple[Request, Answer]:
    request = _with_a_body(random, _request(random, method=b"POST", small=True))
    expects = bool(request.body.content) and random.random() < 0.5  # without content there is nothing to wait with
    interim = tuple(random.choices(_INTERIM, k=random.randint(1, 3)))
    return attrs.evolve(request, expects_continue=expects), attrs.evolve(_answer(random), interim=interim)


def _early(random: Random) -> tuple[Request, Answer]:
    """The answer comes before the body was read: to one that streams at once, to others when they are there."""
    request = _with_a_body(random, _request(random, method=random.choice([b"POST", b"PUT"])))
    if request.body.content and random.random() < 0.3:
        request = attrs.evolve(request, expects_continue=True)
    elif request.body.framing is Framing.CHUNKED or len(request.body.content) > _READ_FIRST:
        request = attrs.evolve(request, withholds=random.choice([0, 1, 5, len(request.body.encoded())]))
    answer = attrs.evolve(_answer(random, body=_body(random, small=True)), early=True)
    return request, random.choice([_until_close(random, answer), attrs.evolve(answer, ends=Ends.CLOSES), answer])


def _cut_off(random: Random) -> tuple[Request, Answer]:
    """The agent breaks off amid the body, or amid what follows it."""
    version = random.choice([b"HTTP/1.1"] * 5 + [b"HTTP/1.0"])
    request = _request(random, method=random.choice([b"GET", b"POST"]), small=True, version=version)
    body = _body(random, framings=(Framing.LENGTH, Framing.CHUNKED))
    answer = _answer(random, body=body if body.content else attrs.evolve(body, pieces=(b"x",)), status=200)
    lost = random.choice([1, 2, 3, random.randint(1, len(answer.body.encoded()))])
    return request, attrs.evolve(answer, ends=Ends.BREAKS_OFF, lost_bytes=min(lost, len(answer.body.encoded())))


FAMILIES: dict[str, tuple[int, Callable[[Random], tuple[Request, Answer]]]] = {
    "requests": (90, _requests),
    "responses": (90, _responses),
    "interim": (40, _interims),
    "early": (40, _early),
    "cut off": (40, _cut_off),
}
"""How many exchanges of which kind; 300 together."""


def generate(family: str, seed: int) -> list[Exchange]:
    """Return the exchanges of a family."""
    count, make = FAMILIES[family]
    exchanges = []
    for number in range(count):
        name = f"{family} {number} of seed {seed}"
        request, answer = make(Random(name))
        exchanges.append(Exchange(name=name, request=request, answer=_shown(request, answer)))
    return exchanges


def _request(
    random: Random, *, method: bytes | None = None, small: bool = False, version: bytes = b"HTTP/1.1"
) -> Request:
    framings = (Framing.NONE, Framing.LENGTH) if version == b"HTTP/1.0" else (*Framing,)[:3]
    body, coding = _coded(random, _body(random, small=small, framings=framings))
    return Request(
        method=method or random.choice(_METHODS),
        target=random.choice(_TARGETS),
        version=version,
        headers=(*request_headers(random), *coding),
        body=body,
        cuts=_cuts(random),
    )


def _with_a_body(random: Random, request: Request) -> Request:
    if request.body.framing is not Framing.NONE:
        return request
    return attrs.evolve(request, body=_body(random, framings=(Framing.LENGTH, Framing.CHUNKED)))


def _answer(random: Random, *, body: Body | None = None, status: int | None = None) -> Answer:
    body, coding = _coded(random, body or _body(random, framings=(Framing.LENGTH, Framing.CHUNKED)))
    return Answer(
        status=status or random.choice(_STATUSES),
        reason=random.choice(_REASONS),
        headers=(*answer_headers(random), *coding),
        body=body,
        cuts=_cuts(random),
        ends=random.choice([Ends.KEEPS] * 4 + [Ends.CLOSES]),
    )


def _until_close(random: Random, answer: Answer) -> Answer:
    """Let only the end of the connection end the body."""
    version = random.choice([b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.1"])
    body = Body(framing=Framing.UNTIL_CLOSE, pieces=answer.body.pieces)
    return attrs.evolve(answer, version=version, body=body, ends=Ends.CLOSES)


def _shown(request: Request, answer: Answer) -> Answer:
    """Send no body where there may be none, though the headers may speak of one; 204 has not even those."""
    if answer.status == 204:
        return attrs.evolve(answer, body=Body(framing=Framing.NONE))
    return attrs.evolve(answer, shown_body=request.method != b"HEAD" and answer.status != 304)


def _body(random: Random, *, small: bool = False, framings: tuple[Framing, ...] = (*Framing,)[1:3]) -> Body:
    framing = random.choice(framings)
    if framing is Framing.NONE:
        return Body(framing=framing)
    size = random.choice(_SIZES[:5] if small else _SIZES)
    content = random.randbytes(size)
    if framing is not Framing.CHUNKED:
        return Body(framing=framing, pieces=(content,))
    pieces, extension, trailers = _split(random, content), random.choice(_EXTENSIONS), random.choice(_TRAILERS)
    return Body(framing=framing, pieces=pieces, extension=extension, trailers=trailers)


def _coded(random: Random, body: Body) -> tuple[Body, Headers]:
    """Put a coded content in, now and then; it is not to be touched."""
    if body.framing is Framing.NONE or random.random() < 0.6:
        return body, ()
    coding = random.choice([*_CODED])
    pieces = _split(random, _CODED[coding]) if body.framing is Framing.CHUNKED else (_CODED[coding],)
    return attrs.evolve(body, pieces=pieces), ((b"Content-Encoding", b" " + coding),)


def _split(random: Random, content: bytes) -> tuple[bytes, ...]:
    places = sorted(random.choices(range(len(content) + 1), k=random.choice([0, 1, 4, 20])))
    starts = [0, *places]
    ends = [*places, len(content)]
    return tuple(content[start:end] for start, end in zip(starts, ends, strict=True))


def _cuts(random: Random) -> tuple[int, ...]:
    """Return offsets between writes: none, amid the head, behind it, or far into the body."""
    return tuple(random.choices([1, 17, 60, 120, 200, 300, 8500, 30_000, 66_000], k=random.choice([0, 0, 1, 3])))
