"""A connection that is used again, and those that are not: nobody ever gets what was meant for somebody else."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiogate.proxy.upstream.connection import Connection
from tests.proxy.upstream.answers import PLACES, Answer, answers, cut
from tests.proxy.upstream.wires import AGENT, GET, SteppedLoop, ask, line, read, stepped

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EARLY = b"HTTP/1.1 103 Early Hints\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped() as loop:
        yield loop


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(answers().filter(lambda answer: answer.got.state == "reusable"), min_size=1, max_size=3),
    last=answers(),
    places=PLACES,
)
def test_requests_on_one_connection_do_not_know_of_each_other(
    loop: SteppedLoop, first: list[Answer], last: Answer, places: list[int]
) -> None:
    """Whatever came before, HEAD and trailers included, the next answer is what it would be on a fresh connection."""
    this = line(loop)
    for answer in [*first, last]:
        end = "eof" if answer.until_close else "nothing"
        assert ask(this, cut(answer.wire, places), end=end, is_head=answer.is_head) == answer.got


@pytest.mark.parametrize("seconds", [0, 1])
def test_bytes_that_nobody_asked_for_close_an_idle_connection(loop: SteppedLoop, seconds: int) -> None:
    this = line(loop)
    assert ask(this, [OK]).state == "reusable"
    loop.now += seconds
    this.wire.say(b"\r\n")
    assert not this.connection.usable
    loop.settle()
    assert this.state == "closed"


def test_bytes_that_come_before_the_first_request_close_the_connection(loop: SteppedLoop) -> None:
    this = line(loop)
    this.wire.say(OK)
    assert not this.connection.usable


@pytest.mark.parametrize("how", ["hang_up", "reset"])
def test_an_idle_connection_that_the_agent_closes_is_not_usable_any_more(loop: SteppedLoop, how: str) -> None:
    this = line(loop)
    ask(this, [OK])
    getattr(this.wire, how)()
    assert not this.connection.usable
    loop.settle()
    assert this.shelf.gone == [this.connection]


@pytest.mark.parametrize("interim", [EARLY, b"HTTP/1.1 100 Continue\r\n\r\n", EARLY[:12]])
def test_a_caller_that_leaves_while_only_the_interim_answer_is_there_leaves_no_connection_to_others(
    loop: SteppedLoop, interim: bytes
) -> None:
    """It has been cancelled but has not run yet when the agent's interim answer arrives; the real one is to come."""
    this = line(loop)
    ask(this, [OK])
    this.shelf.returned.clear()
    reading = loop.create_task(read(this.connection.send(AGENT, GET)))
    loop.step()
    reading.cancel()
    this.wire.say(interim)
    assert this.shelf.returned == []
    loop.settle()
    assert reading.cancelled()
    assert this.state == "closed"


def test_a_caller_that_leaves_just_before_its_whole_answer_arrives_leaves_no_connection_in_doubt(
    loop: SteppedLoop,
) -> None:
    """Nobody has looked at the head, so nobody knows whether the agent keeps the connection."""
    this = line(loop)
    ask(this, [OK])
    this.shelf.returned.clear()
    reading = loop.create_task(read(this.connection.send(AGENT, GET)))
    loop.step()
    reading.cancel()
    this.wire.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    loop.settle()
    assert this.shelf.returned == []
    assert this.state == "closed"


def test_a_caller_that_leaves_amid_the_body_takes_the_connection_along(loop: SteppedLoop) -> None:
    this = line(loop)
    reading = loop.create_task(read(this.connection.send(AGENT, GET)))
    this.wire.say(CHUNKED + b"2\r\nok\r\n")
    loop.settle()
    reading.cancel()
    loop.settle()
    assert this.state == "closed"


def test_a_connection_whose_client_was_slow_reads_again_when_it_is_given_back(loop: SteppedLoop) -> None:
    """More than is held comes in one read with the end: reading was stopped, and nobody else would start it."""
    this = line(loop)
    body = b"x" * 100_000
    got = ask(this, [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body])
    assert (got.body, got.state) == (body, "reusable")
    assert this.wire.is_reading()
    assert ask(this, [OK]).body == b"ok"


def test_a_connection_is_given_back_once_the_request_is_whole_too(loop: SteppedLoop) -> None:
    """An answer that comes while the body is still going up closes the connection: its rest would be a request."""

    async def never() -> Connection:
        yield b"first"
        await asyncio.Event().wait()

    this = line(loop)
    response = this.connection.send(AGENT, GET)
    this.connection.upload(never(), chunked=True)
    reading = loop.create_task(read(response))
    loop.settle()
    this.wire.say(OK)
    loop.settle()
    assert reading.result().body == b"ok"
    assert this.state == "closed"
    assert this.wire.written.endswith(b"5\r\nfirst\r\n")
