"""What an agent has how long for: by the coarse timer, whose looks the test takes itself, at times it names."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import attrs
import pytest

from aiogate.agent import Agent
from aiogate.proxy.upstream.response import Response
from tests.proxy.upstream.wires import GET, Got, Line, SteppedLoop, line, read, stepped

AGENT = Agent(
    id="support",
    url="http://127.0.0.1:1",
    first_byte_seconds=10.0,
    idle_seconds=5.0,
    write_seconds=7.0,
    total_seconds=100.0,
)
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"2\r\nok\r\n"
END = b"0\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped() as loop:
        yield loop


@attrs.define
class Call:
    """A request under way; ``after`` lets time pass and has the timer look."""

    line: Line
    response: Response
    reading: "asyncio.Task[Got]"

    def after(self, seconds: float) -> None:
        loop = self.line.loop
        loop.now += seconds
        self.line.connection.check(loop.now)
        loop.settle()

    def say(self, data: bytes) -> None:
        self.line.wire.say(data)
        self.line.loop.settle()

    @property
    def error(self) -> str:
        return self.reading.result().error if self.reading.done() else "none yet"


def call(loop: SteppedLoop, agent: Agent = AGENT, *, upgrade: bool = False, slow: bool = False) -> Call:
    this = line(loop)
    response = this.connection.send(agent, GET, upgrade=upgrade)
    reading = loop.create_task(read(response) if not slow else stuck(response))
    loop.settle()
    return Call(this, response, reading)


async def stuck(response: Response) -> Got:
    """Read the first piece, and then nothing more: the client is too slow."""
    await response.arrived
    await response.pour(lambda _: response.hold())
    await asyncio.Event().wait()
    return Got()


def test_an_agent_that_says_nothing_is_given_up_when_its_time_for_the_first_byte_is_over(loop: SteppedLoop) -> None:
    this = call(loop)
    this.after(9.75)
    assert this.error == "none yet"
    this.after(0.25)
    assert (this.error, this.line.state) == ("agent_first_byte_timeout", "closed")


@pytest.mark.parametrize("said", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: ", b"\r\n"])
def test_part_of_a_head_does_not_lengthen_the_time_for_it(loop: SteppedLoop, said: bytes) -> None:
    this = call(loop)
    for _ in range(9):
        this.after(1)
        this.say(said)
    assert this.error == "none yet"
    this.after(1)
    assert this.error == "agent_first_byte_timeout"


def test_the_first_byte_is_waited_for_from_the_end_of_the_request_on(loop: SteppedLoop) -> None:
    """A client may take its time to send a body."""
    last = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await last.wait()

    this = call(loop)
    this.line.connection.upload(body(), chunked=True)
    loop.settle()
    this.after(50)
    assert this.error == "none yet"
    last.set()
    loop.settle()
    this.after(9.75)
    assert this.error == "none yet"
    this.after(0.25)
    assert this.error == "agent_first_byte_timeout"


def test_an_agent_that_stops_reading_the_request_is_given_up(loop: SteppedLoop) -> None:
    this = call(loop)
    this.line.connection.pause_writing()
    this.after(6.75)
    assert this.error == "none yet"
    this.after(0.25)
    assert (this.error, this.line.state) == ("agent_write_timeout", "closed")


def test_an_agent_that_goes_on_reading_has_all_its_time_again(loop: SteppedLoop) -> None:
    this = call(loop, attrs.evolve(AGENT, first_byte_seconds=90.0))
    for _ in range(10):
        this.line.connection.pause_writing()
        this.after(6)
        this.line.connection.resume_writing()
    this.after(7)
    assert this.error == "none yet"


def test_an_agent_that_falls_silent_amid_its_answer_is_given_up(loop: SteppedLoop) -> None:
    this = call(loop)
    for piece in (HEAD, CHUNK, CHUNK[:1], CHUNK[1:]):
        this.say(piece)
        this.after(4.75)
        assert this.error == "none yet"
    this.after(0.25)
    assert (this.error, this.line.state) == ("agent_idle_timeout", "closed")
    assert this.reading.result().body == b"okok"


def test_while_the_client_is_slow_the_agents_silence_is_not_its_fault(loop: SteppedLoop) -> None:
    this = call(loop, slow=True)
    this.say(HEAD)
    this.say(CHUNK)
    assert not this.line.wire.is_reading()
    this.after(50)
    assert this.line.state == "open"
    this.line.connection.resume()
    this.after(4.75)
    assert this.line.state == "open"
    this.after(0.25)
    assert this.line.state == "closed"


def test_an_answer_that_goes_on_and_on_is_cut_when_its_whole_time_is_over(loop: SteppedLoop) -> None:
    this = call(loop)
    this.say(HEAD)
    for _ in range(99):
        this.after(1)
        this.say(CHUNK)
    assert this.error == "none yet"
    this.after(1)
    assert (this.error, this.line.state) == ("agent_total_timeout", "closed")


def test_the_whole_time_holds_while_the_client_is_slow_too(loop: SteppedLoop) -> None:
    this = call(loop, slow=True)
    this.say(HEAD)
    this.say(CHUNK)
    this.after(99.75)
    assert this.line.state == "open"
    this.after(0.25)
    assert this.line.state == "closed"


def test_a_tunnel_may_be_silent_but_not_longer_than_the_whole_time(loop: SteppedLoop) -> None:
    this = call(loop, upgrade=True)
    this.say(SWITCH)
    this.after(99.75)
    assert this.error == "none yet"
    this.after(0.25)
    assert this.error == "agent_total_timeout"


def test_without_limits_a_stream_may_last_and_be_silent(loop: SteppedLoop) -> None:
    this = call(loop, attrs.evolve(AGENT, idle_seconds=None, total_seconds=None))
    this.say(HEAD)
    this.after(1e6)
    this.say(CHUNK + END)
    assert (this.error, this.line.state) == ("", "reusable")


def test_each_request_on_a_connection_has_its_own_time_and_its_own_limits(loop: SteppedLoop) -> None:
    first = call(loop)
    first.after(9)
    first.say(HEAD + CHUNK + END)
    first.after(1000)
    assert first.line.state == "reusable"
    response = first.line.connection.send(attrs.evolve(AGENT, first_byte_seconds=20.0), GET)
    again = Call(first.line, response, loop.create_task(read(response)))
    again.after(19.75)
    assert again.error == "none yet"
    again.after(0.25)
    assert again.error == "agent_first_byte_timeout"
