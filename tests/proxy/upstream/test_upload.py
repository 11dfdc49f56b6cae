"""A request's body on its way to the agent: framed, held back by a slow agent, ended when nobody needs it any more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import attrs
import pytest

from aiogate.errors import Refused, refusal
from aiogate.proxy.upstream.response import Response
from tests.proxy.upstream.wires import AGENT, GET, Got, Line, SteppedLoop, line, read, stepped

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped() as loop:
        yield loop


@attrs.define
class Body:
    """A body that gives the next piece when the test says so; ``asked`` counts how often it was asked for one."""

    loop: SteppedLoop
    asked: int = 0
    ended: bool = False
    pieces: "asyncio.Queue[bytes | Exception | None]" = attrs.field(factory=asyncio.Queue)

    def give(self, piece: bytes | Exception | None) -> None:
        self.pieces.put_nowait(piece)
        self.loop.settle()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.asked += 1
                piece = await self.pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                if piece is None:
                    return
                yield piece
        finally:
            self.ended = True


@attrs.define
class Upload:
    """A request whose body is going up, and whoever waits for its answer."""

    line: Line
    body: Body
    response: Response
    reading: "asyncio.Task[Got]"

    @property
    def sent(self) -> bytes:
        return bytes(self.line.wire.written.removeprefix(GET))


Start = Callable[..., Upload]


@pytest.fixture
def start(loop: SteppedLoop) -> Start:
    def start(*, chunked: bool = True) -> Upload:
        this, body = line(loop), Body(loop)
        response = this.connection.send(AGENT, GET)
        this.connection.upload(aiter(body), chunked=chunked)
        reading = loop.create_task(read(response))
        loop.settle()
        return Upload(this, body, response, reading)

    return start


@pytest.mark.parametrize(
    "chunked, sent", [(True, b"3\r\none\r\nc\r\nand the next\r\n0\r\n\r\n"), (False, b"oneand the next")]
)
def test_a_body_is_framed_as_the_head_has_said_and_the_connection_used_again(
    loop: SteppedLoop, start: Start, chunked: bool, sent: bytes
) -> None:
    upload = start(chunked=chunked)
    for piece in (b"one", b"and the next", None):
        upload.body.give(piece)
    upload.line.wire.say(OK)
    loop.settle()
    assert (upload.sent, upload.line.state) == (sent, "reusable")


def test_an_agent_that_reads_slowly_is_sent_no_more_until_it_has_read(loop: SteppedLoop, start: Start) -> None:
    upload = start(chunked=False)
    upload.line.connection.pause_writing()
    upload.body.give(b"one")
    upload.body.give(b"two")
    assert (upload.sent, upload.body.asked) == (b"one", 1)
    upload.line.connection.resume_writing()
    loop.settle()
    assert (upload.sent, upload.body.asked) == (b"onetwo", 3)


@pytest.mark.parametrize("where", ["waiting for the client", "waiting for the agent"])
@pytest.mark.parametrize("how", ["hang_up", "reset"])
def test_an_agent_that_leaves_ends_the_body_and_whoever_waits(
    loop: SteppedLoop, start: Start, where: str, how: str
) -> None:
    upload = start()
    if where == "waiting for the agent":
        upload.line.connection.pause_writing()
        upload.body.give(b"one")
    getattr(upload.line.wire, how)()
    loop.settle()
    assert upload.reading.result().error == "agent_unreachable"
    assert not asyncio.all_tasks(loop)


def test_a_request_that_the_agent_never_read_and_that_nobody_waits_to_write_fails_without_a_word(
    loop: SteppedLoop,
) -> None:
    """The whole of it was written at once; what remains of it goes with the connection."""
    this = line(loop)
    reading = loop.create_task(read(this.connection.send(AGENT, GET * 10_000)))
    this.connection.pause_writing()
    this.wire.reset()
    loop.settle()
    assert reading.result().error == "agent_unreachable"


@pytest.mark.parametrize("answer", [OK, b"HTTP/1.1 413 Too Large\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nno more"])
def test_an_early_answer_is_delivered_and_ends_body_and_connection(
    loop: SteppedLoop, start: Start, answer: bytes
) -> None:
    upload = start()
    upload.body.give(b"one")
    upload.line.wire.say(answer)
    upload.line.wire.hang_up()
    loop.settle()
    got = upload.reading.result()
    assert (got.status, got.error) == (int(answer[9:12]), "")
    assert upload.body.ended
    assert upload.line.state == "closed"


def test_a_head_that_comes_early_does_not_end_the_body(loop: SteppedLoop, start: Start) -> None:
    """Both may stream at once."""
    upload = start()
    upload.line.wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi \r\n")
    upload.body.give(b"one")
    upload.line.wire.say(b"5\r\nthere\r\n")
    upload.body.give(None)
    upload.line.wire.say(b"0\r\n\r\n")
    loop.settle()
    assert upload.reading.result().body == b"hi there"
    assert (upload.sent, upload.line.state) == (b"3\r\none\r\n0\r\n\r\n", "reusable")


@pytest.mark.parametrize("answered", [False, True])
def test_a_body_that_fails_fails_the_request_and_the_connection(
    loop: SteppedLoop, start: Start, answered: bool
) -> None:
    """Before the head its error goes to whoever waits for the head; the agent never sees an end that was none."""
    upload = start()
    upload.body.give(b"one")
    if answered:
        upload.line.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        loop.settle()
    upload.body.give(Refused(refusal("body_too_large", "too long")))
    if answered:
        assert upload.reading.result().error == "agent_broke_off"
    else:
        assert isinstance(upload.reading.exception(), Refused)
    assert upload.line.state == "closed"
    assert upload.sent == b"3\r\none\r\n"


def test_a_caller_that_leaves_ends_its_body(loop: SteppedLoop, start: Start) -> None:
    upload = start()
    upload.body.give(b"one")
    upload.reading.cancel()
    loop.settle()
    assert upload.body.ended
    assert upload.line.state == "closed"
    assert upload.sent == b"3\r\none\r\n"
