"""What an agent must not send, down to what parsers are known to differ in: it is refused, not repaired."""

from collections.abc import Iterator

import pytest

from tests.proxy.upstream.wires import SteppedLoop, ask, line, stepped

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped() as loop:
        yield loop


def response(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body])


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 150 X\r\nContent-Length: 5\r\n\r\nhello" + OK,
        b"HTTP/1.1 150 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 101 Switching\r\n\r\n" + OK,
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" + OK,
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 20 X\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        response(b"Content-Length: 2, 2", body=b"ok"),
        response(b"Content-Length: 2", b"Content-Length: 2", body=b"ok"),
        response(b"Content-Length: +2", body=b"ok"),
        response(b"Content-Length: -2", body=b"ok"),
        response(b"Content-Length: 0x2", body=b"ok"),
        response(b"Content-Length:", body=b"ok"),
        response(b"Content-Length: 99999999999999999999999", body=b"ok"),
        response(b"Content-Length : 2", body=b"ok"),
        response(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
        response(b"Transfer-Encoding: chunked", b"Content-Length: 2", body=b"2\r\nok\r\n0\r\n\r\n"),
        response(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
        response(b"Transfer-Encoding: chunked, chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
        response(b"Transfer-Encoding: chunked, gzip", body=b"2\r\nok\r\n0\r\n\r\n"),
        response(b"Transfer-Encoding: identity", body=b"ok"),
        response(b"Transfer-Encoding: chunked\t", body=b"2\r\nok\r\n0\r\n\r\n"),
        response(b"Transfer-Encoding: \x0bchunked", body=b"2\r\nok\r\n0\r\n\r\n"),
        response(b"X: a", b" folded", b"Content-Length: 2", body=b"ok"),
        response(b"X: a\0b", b"Content-Length: 2", body=b"ok"),
        response(b"X: a\rb", b"Content-Length: 2", body=b"ok"),
        response(b"X: a\nb", b"Content-Length: 2", body=b"ok"),
        response(b": nameless", b"Content-Length: 2", body=b"ok"),
        response(b"no colon", b"Content-Length: 2", body=b"ok"),
        response(*[b"X: y"] * 300, b"Content-Length: 2", body=b"ok"),
    ],
)
def test_a_head_that_two_readers_might_read_differently_is_refused(loop: SteppedLoop, wire: bytes) -> None:
    for upgrade in (False, True):
        got = ask(line(loop), [wire], upgrade=upgrade)
        assert (got.error, got.status, got.state) == ("agent_protocol_error", 0, "closed")


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\nok\r\n0\r\n\r\n",
        b"2\nok\r\n0\r\n\r\n",
        b"2\r\nokk\r\n0\r\n\r\n",
        b"2\r\nok0\r\n\r\n",
        b"-2\r\nok\r\n0\r\n\r\n",
        b"0x2\r\nok\r\n0\r\n\r\n",
        b"2 \r\nok\r\n0\r\n\r\n",
        b"\r\n2\r\nok\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nok",
        b"2;a\0\r\nok\r\n0\r\n\r\n",
        b"2;a\nb\r\nok\r\n0\r\n\r\n",
        b"2\r\nok\r\n0\r\nno colon\r\n\r\n",
    ],
)
def test_chunks_that_two_readers_might_read_differently_break_the_answer_off(loop: SteppedLoop, body: bytes) -> None:
    for cut in (0, 1):
        head = response(b"Transfer-Encoding: chunked")
        got = ask(line(loop), [head, body] if cut else [head + body])
        assert (got.error, got.state) == ("agent_protocol_error", "closed")


@pytest.mark.parametrize(
    "start, piece",
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: y", b"x"),
        (b"HTTP/1.1 200 OK\r\nX", b"x"),
        (b"HTTP/1.1 200 OK", b"x"),
    ],
    ids=["interim", "headers", "a value", "a name", "a reason"],
)
def test_a_head_that_never_ends_is_given_up_after_64_kib(loop: SteppedLoop, start: bytes, piece: bytes) -> None:
    this = line(loop)
    got = ask(this, [start, *[piece * (1000 // len(piece))] * 70])
    assert (got.error, got.status, got.state) == ("agent_protocol_error", 0, "closed")
