"""A body that simply goes on is passed on without a look at the rest, which nobody can tell from a look each time."""

import os
from collections.abc import Iterator
from functools import partial
from itertools import count, zip_longest

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiogate.errors import UpstreamError
from aiogate.proxy.answer import Answer as ToClient
from aiogate.proxy.relay import relay_body
from aiogate.proxy.upstream.reading import Piece
from aiogate.proxy.upstream.response import Response
from tests.exchanges import an_exchange
from tests.proxy.upstream.answers import DAMAGE, PLACES, Answer, Damage, answers, cut, switches
from tests.proxy.upstream.wires import AGENT, GET, End, Line, SteppedLoop, blind, line, read, stepped

SETTINGS = settings(
    max_examples=int(os.environ.get("AIOGATE_FUZZ", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has its own connections
)
HOLDS = st.lists(st.booleans(), min_size=1, max_size=3)
GAPS = st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=1, max_size=4)
ENDS = st.sampled_from(["nothing", "eof", "reset"])
BEHIND = st.sampled_from([b"", b"", b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nforged", b"0\r\n\r\n"])
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped() as loop:
        yield loop


@attrs.define
class Heard:
    """What has come of a response, piece by piece; each time that it is poured anew, somebody else gets it."""

    pieces: list[tuple[int, bytes]] = attrs.field(factory=list)
    rest: bytes = b""
    error: str = ""
    gap: float = 0.0

    async def hear(self, response: Response, holds: list[bool]) -> None:
        def sink(who: int, piece: bytes) -> None:
            self.pieces.append((who, piece))
            if holds[len(self.pieces) % len(holds)]:
                response.hold()

        try:
            await response.arrived
            for who in count():
                if response.complete:
                    break
                await response.pour(partial(sink, who))
            self.rest = response.take()
        except UpstreamError as raised:
            self.error = raised.code
        finally:
            self.gap = response.longest_gap
            response.close()


def spoken(
    this: Line, answer: Answer, pieces: list[bytes], gaps: list[float], holds: list[bool], end: End, *, looks: bool
) -> tuple[Heard, str]:
    """Return what is heard of an answer; ``looks``: each read is looked at as if it were no piece of a body."""
    loop, heard = this.loop, Heard()
    response = this.connection.send(AGENT, GET, is_head=answer.is_head, upgrade=answer.upgrade)
    hearing = loop.create_task(heard.hear(response, holds))
    loop.step(2)
    for number, piece in enumerate(pieces):
        loop.now += gaps[number % len(gaps)]
        if looks:
            this.connection.sink = None
        this.wire.say(piece)
        loop.step(number % 3)
    loop.settle()
    {"nothing": lambda: None, "eof": this.wire.hang_up, "reset": this.wire.reset}[end]()
    loop.settle()
    hearing.cancel()
    loop.settle()
    return heard, this.state


@SETTINGS
@given(
    answer=answers() | switches(),
    behind=BEHIND,
    damage=st.none() | DAMAGE,
    places=PLACES,
    gaps=GAPS,
    holds=HOLDS,
    end=ENDS,
)
def test_a_body_goes_on_as_if_each_read_were_looked_at(
    loop: SteppedLoop,
    answer: Answer,
    behind: bytes,
    damage: Damage | None,
    places: list[int],
    gaps: list[float],
    holds: list[bool],
    end: End,
) -> None:
    wire = answer.wire + behind
    pieces = cut(wire if damage is None else damage(wire), places)
    once, each = (spoken(line(loop), answer, pieces, gaps, holds, end, looks=looks) for looks in (False, True))
    assert once == each


@pytest.mark.parametrize("piece", [b"1\r\na\r\n0\r\n\r\n", b"0\r\n\r\n"])
def test_the_body_of_a_forged_answer_behind_the_end_is_nobodys(loop: SteppedLoop, piece: bytes) -> None:
    this, heard = line(loop), Heard()
    hearing = loop.create_task(heard.hear(this.connection.send(AGENT, GET), [False]))
    for said in (CHUNKED, b"1\r\na\r\n", piece + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nforged"):
        loop.step(2)
        this.wire.say(said)
    loop.settle()
    assert hearing.done() and this.state == "closed"
    assert b"".join(piece for _, piece in heard.pieces) + heard.rest == b"aa"[: 1 + piece.count(b"a")]


@SETTINGS
@given(one=answers(), other=answers(), places=PLACES, holds=HOLDS)
def test_two_connections_that_read_into_the_same_piece_never_mix(
    loop: SteppedLoop, one: Answer, other: Answer, places: list[int], holds: list[bool]
) -> None:
    piece = Piece()
    lines = [line(loop, piece=piece), line(loop, piece=piece)]
    readings = [
        loop.create_task(read(each.connection.send(AGENT, GET, is_head=answer.is_head), holds))
        for each, answer in zip(lines, (one, other), strict=True)
    ]
    for pair in zip_longest(cut(one.wire, places), cut(other.wire, places)):
        for each, said in zip(lines, pair, strict=True):
            if said:
                each.wire.say(said)
            assert not piece.bodies
        loop.step()
    loop.settle()
    for each in lines:
        each.wire.hang_up()
    loop.settle()
    for reading, answer in zip(readings, (one, other), strict=True):
        assert reading.result().body == answer.got.body


def test_what_a_read_has_left_that_failed_half_way_goes_to_nobody_else(loop: SteppedLoop) -> None:
    piece = Piece()
    this = line(loop, piece=piece)
    reading = loop.create_task(read(this.connection.send(AGENT, GET), [False]))
    for said in (CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"):
        loop.step(2)
        piece.bodies.append(b"somebody else's")
        this.wire.say(said)
    loop.settle()
    assert reading.result().body == b"ab"


def test_the_longest_silence_is_known_while_it_lasts_and_stays_when_the_connection_serves_another(
    loop: SteppedLoop,
) -> None:
    this, heard = line(loop), Heard()
    response = this.connection.send(AGENT, GET)
    hearing = loop.create_task(heard.hear(response, [False]))
    loop.now += 9
    for piece, seconds in ((CHUNKED, 1), (b"1\r\na\r\n", 3), (b"1\r\nb\r\n", 4)):
        this.wire.say(piece)
        loop.step(2)
        loop.now += seconds
    assert response.longest_gap == 3
    this.wire.say(b"1\r\nc\r\n")
    assert response.longest_gap == 4
    this.wire.say(b"0\r\n\r\n")
    loop.settle()
    assert hearing.done() and heard.pieces == [(0, b"a"), (0, b"b"), (0, b"c")]
    this.connection.send(AGENT, GET)
    loop.now += 50
    this.wire.say(CHUNKED)
    assert (response.longest_gap, heard.gap) == (4, 4)


class _Client:
    """A client, its transport and its protocol in one, that takes everything."""

    keep_alive = True
    writing_paused = False
    is_old = False
    method = "GET"

    def __init__(self) -> None:
        self.transport = self.protocol = self
        self.got = bytearray()

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.got += data


@SETTINGS
@given(chunks=st.lists(st.binary(min_size=1, max_size=6) | st.sampled_from([b"x" * 4095 + b"y", b"z" * 4096 + b"\n"])))
def test_how_a_body_ends_is_known_after_each_chunk(loop: SteppedLoop, chunks: list[bytes]) -> None:
    this, client = line(loop), _Client()
    answer = ToClient(client)  # type: ignore[arg-type] # it has what this takes of an Inbound
    response = this.connection.send(AGENT, GET)

    async def conclude() -> None:
        pass

    passing = loop.create_task(relay_body(response, an_exchange(), answer, None, conclude, blind(loop)))
    this.wire.say(CHUNKED)
    loop.step(2)
    body = b""
    for chunk in chunks:
        this.wire.say(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        body += chunk
        assert (answer.tail, bytes(client.got)) == (body[-4:], body)
        assert body.startswith(answer.opening[:1]) and bool(answer.opening) == bool(body)
    this.wire.say(b"0\r\n\r\n")
    loop.settle()
    assert passing.done()
