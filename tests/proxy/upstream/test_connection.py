"""One connection, any bytes: the same answer however it is cut, an error and a closed connection for what is none.

``AIOGATE_FUZZ=20000 pytest tests/proxy/upstream/test_connection.py`` is the long run: so many examples of each.
"""

import gc
import os
import random
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.upstream.answers import DAMAGE, PLACES, Answer, Damage, answers, cut, switches
from tests.proxy.upstream.naive import reading
from tests.proxy.upstream.wires import AGENT, GET, End, SteppedLoop, ask, line, stepped

SETTINGS = settings(
    max_examples=int(os.environ.get("AIOGATE_FUZZ", "300")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has its own connection
)
HOLDS = st.lists(st.booleans(), min_size=1, max_size=3)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped() as loop:
        yield loop


def end_of(answer: Answer) -> End:
    return "eof" if answer.until_close else "nothing"


@SETTINGS
@given(answer=answers() | switches(), places=PLACES, holds=HOLDS)
def test_an_answer_is_the_same_wherever_it_is_cut(
    loop: SteppedLoop, answer: Answer, places: list[int], holds: list[bool]
) -> None:
    """Head, body and what becomes of the connection, for a client that is slow now and then."""
    got = ask(
        line(loop),
        cut(answer.wire, places),
        end=end_of(answer),
        is_head=answer.is_head,
        upgrade=answer.upgrade,
        holds=holds,
    )
    assert got == answer.got


@SETTINGS
@given(
    answer=answers() | switches(), places=PLACES, length=st.integers(0, 10_000), end=st.sampled_from(["eof", "reset"])
)
def test_a_part_of_an_answer_is_an_error_and_closes_the_connection(
    loop: SteppedLoop, answer: Answer, places: list[int], length: int, end: End
) -> None:
    """But the end of a connection is the end of a body that has no other."""
    part = answer.wire[: length % len(answer.wire)]
    this = line(loop)
    got = ask(this, cut(part, places), end=end, is_head=answer.is_head, upgrade=answer.upgrade)
    assert got.state == "closed"
    assert this.connection not in this.shelf.returned
    if len(part) < answer.head_bytes:
        assert (got.status, got.error) == (0, "agent_unreachable")
    elif answer.until_close and end == "eof":
        assert got == attrs.evolve(answer.got, body=part[answer.head_bytes :])
    else:
        assert (got.status, got.error) == (answer.got.status, "agent_broke_off")
        assert answer.got.body.startswith(got.body)


@SETTINGS
@given(
    answer=answers().filter(lambda answer: not answer.until_close),
    places=PLACES,
    more=st.sampled_from([b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"\0", b"0\r\n\r\n", b"5;"]),
)
def test_what_comes_behind_an_answer_closes_the_connection_and_changes_nothing(
    loop: SteppedLoop, answer: Answer, places: list[int], more: bytes
) -> None:
    """It would be taken for the answer to the next request, which is somebody else's."""
    this = line(loop)
    got = ask(this, cut(answer.wire + more, places), is_head=answer.is_head)
    loop.settle()
    assert attrs.evolve(got, state="closed") == attrs.evolve(answer.got, state="closed")
    assert this.state == "closed"


@SETTINGS
@given(answer=answers() | switches(), places=PLACES, damage=DAMAGE, holds=HOLDS)
def test_a_damaged_answer_is_an_error_or_what_somebody_else_reads_in_it_too(
    loop: SteppedLoop, answer: Answer, places: list[int], damage: Damage, holds: list[bool]
) -> None:
    """It never hangs, and a connection is used again only when not a byte of doubt is left."""
    this, wire = line(loop), damage(answer.wire)
    got = ask(this, cut(wire, places), end="eof", is_head=answer.is_head, upgrade=answer.upgrade, holds=holds)
    if got.error:
        assert got.state == "closed"
        return
    read = reading(wire, is_head=answer.is_head)
    assert (got.status, got.body) == (read.status, read.body)
    if this.connection in this.shelf.returned:
        assert read.rest.strip(b"\r\n") == b""
        assert read.keeps_alive


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    "options",
    [
        b"Connection: close\r\nConnection: Keep-Alive\r\n",
        b"Connection: keep-alive\r\nConnection: Close\r\n",
        b"Connection: close, keep-alive\r\n",
        b"Connection: x-hop,\tclose ,keep-alive\r\n",
    ],
)
def test_close_goes_before_every_other_option_of_the_connection(
    loop: SteppedLoop, version: bytes, options: bytes
) -> None:
    this = line(loop)
    got = ask(this, [b"HTTP/%b 200 OK\r\n%bContent-Length: 2\r\n\r\nok" % (version, options)])
    assert (got.body, this.state) == (b"ok", "closed")
    assert this.connection not in this.shelf.returned


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 700 Odd\r\nContent-Length: 5000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_the_body_behind_a_head_that_is_refused_is_kept_by_nobody(loop: SteppedLoop, begin: bytes) -> None:
    """Also where both come in one read, of which the head alone decides."""
    this = line(loop)
    response = this.connection.send(AGENT, GET)
    this.wire.say(begin + b"hello")
    loop.settle()
    assert response.arrived.exception() is not None
    assert response.size == 0
    assert this.state == "closed"


def test_what_an_agent_breaks_leaves_nothing_behind(loop: SteppedLoop) -> None:
    """Random damage to one answer, over and over: no object more is alive than after the first hundred times."""
    chance = random.Random(7)
    head = b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = head + b"5;x=y\r\nhello\r\n" * 20 + b"0\r\n\r\n"

    def break_one() -> None:
        wire = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            wire[chance.randrange(len(wire))] = chance.randrange(256)
        this = line(loop)
        ask(this, cut(bytes(wire), [chance.randrange(len(wire)) for _ in range(3)]), end="eof")
        this.connection.abort()
        loop.settle()
        loop.take_complaints()

    def alive(times: int) -> int:
        for _ in range(times):
            break_one()
        gc.collect()
        return len(gc.get_objects())

    before = alive(100)
    assert alive(SETTINGS.max_examples) <= before + 50
