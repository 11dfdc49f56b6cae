"""What can be wrong with an agent, by name: a catalogue for tests.

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_my_gateway(fault: str) -> None:
        async with faulty_agent(fault) as agent: ...

``stream`` makes the answer that goes wrong an event stream in chunks, else it is a document with a length.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiogate.testing.faulty_agent import ANSWER, EVENTS, Fault, FaultyAgent, Talk, behave, chunk, run_agent

__all__ = ["FAULTS", "Fault", "FaultyAgent", "faulty_agent"]

FAULTS: Final[dict[str, Fault]] = {}

Script = Callable[[Talk], Awaitable[None]]
_MANY: Final = 3000


@asynccontextmanager
async def faulty_agent(
    fault: str, *, stream: bool = False, times: int | None = None, cued: bool = False
) -> AsyncIterator[FaultyAgent]:
    """Run an agent on a free port of loopback that misbehaves.

    Args:
        fault: one of ``FAULTS``.
        stream: its good answers, and those that go wrong, are event streams.
        times: on so many connections it misbehaves, on later ones it behaves; None: on all.
        cued: what begins well goes wrong only when the test sets ``go_on``. A reset can overtake what was sent before
            it; who wants to see both waits until the first has arrived.
    """
    async with run_agent(FAULTS[fault], stream=stream, times=times, cued=cued) as agent:
        yield agent


def _fault(says: str) -> Callable[[Script], Script]:
    """Put a script into the catalogue under its own name."""

    def register(script: Script) -> Script:
        name = script.__name__
        FAULTS[name] = Fault(name, says, script)
        return script

    return register


def _answers(name: str, says: str, answer: bytes | Callable[[Talk], bytes], *, stays: bool = True) -> None:
    """Put an agent into the catalogue that reads the request, says something wrong and stays or closes."""

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.say(answer if isinstance(answer, bytes) else answer(talk))
        if stays:
            await talk.silence()

    FAULTS[name] = Fault(name, says, script)


# no answer at all


@_fault("accepts and closes before it has read anything")
async def closes_on_accept(talk: Talk) -> None:
    del talk


@_fault("accepts and resets before it has read anything")
async def resets_on_accept(talk: Talk) -> None:
    talk.reset()


@_fault("reads the request and never answers")
async def no_response(talk: Talk) -> None:
    await talk.request()
    await talk.silence()


@_fault("reads the request and closes")
async def closes_before_head(talk: Talk) -> None:
    await talk.request()


@_fault("reads the request and resets")
async def resets_before_head(talk: Talk) -> None:
    await talk.request()
    talk.reset()


@_fault("answers one request well and closes when the next one comes")
async def closes_idle_connection(talk: Talk) -> None:
    await talk.request()
    await talk.say(talk.good_head(), talk.good_body())
    await talk.head()


# heads that are none

_answers("garbage_status_line", "its status line is none", b"HTP/x.1 abc\r\nContent-Length: 0\r\n\r\n")
_answers("not_http", "speaks another protocol", b"SSH-2.0-OpenSSH_9.2\r\n")
_answers("tls_on_plain_port", "speaks TLS where HTTP is expected", b"\x15\x03\x03\x00\x02\x02\x46\x16\x03\x01" * 8)
_answers("http2_frames", "speaks HTTP/2", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64" * 4)
_answers("body_without_head", "sends a body and no head", ANSWER)
_answers("version_2", "claims a version of HTTP that has no such head", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")
_answers("status_0", "has a status that is none", b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n")
_answers("status_999", "has a status that no client knows", b"HTTP/1.1 999 Much\r\nContent-Length: 0\r\n\r\n")
_answers(
    "nul_in_header", "has a NUL in a header", lambda talk: talk.good_head("200 OK", "X-A: a\0b") + talk.good_body()
)
_answers("control_in_header", "has a bell in one", lambda talk: talk.good_head("200 OK", "X-A: \7") + talk.good_body())
_answers("cr_in_header", "has a bare CR in one", lambda talk: talk.good_head("200 OK", "X-A: a\rb") + talk.good_body())
_answers(
    "bare_lf", "ends its lines with LF alone", lambda talk: talk.good_head().replace(b"\r", b"") + talk.good_body()
)
_answers("folded_header", "folds a header", lambda talk: talk.good_head("200 OK", "X-A: a\r\n b") + talk.good_body())
_answers("space_before_colon", "has one", lambda talk: talk.good_head("200 OK", "X-A : a") + talk.good_body())
_answers("header_without_colon", "has one", lambda talk: talk.good_head("200 OK", "nonsense") + talk.good_body())
_answers(
    "many_headers",
    "sends three thousand headers",
    lambda talk: talk.good_head("200 OK", *(f"X-Number-{number}: {'n' * 40}" for number in range(_MANY))),
)
_answers("half_a_head_then_closes", "closes in the middle of its head", b"HTTP/1.1 200 OK\r\nContent-Ty", stays=False)
_answers("half_a_head_then_stalls", "falls silent in the middle of its head", b"HTTP/1.1 200 OK\r\nContent-Ty")
_answers("unasked_101", "switches protocols", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
_answers("only_1xx", "sends an interim response and closes", b"HTTP/1.1 103 Early Hints\r\n\r\n", stays=False)


@_fault("sends one header after the other, without end")
async def endless_headers(talk: Talk) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\n")
    while True:
        await talk.say(b"X-More: and more\r\n" * 100)


@_fault("sends its head byte by byte, without end")
async def slow_head(talk: Talk) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await talk.crawl(b"s" * 100)


@_fault("sends one interim response after the other, without end")
async def endless_1xx(talk: Talk) -> None:
    await talk.request()
    while True:
        await talk.crawl(b"HTTP/1.1 102 Processing\r\n\r\n")


# heads that contradict themselves


def _framed(*lines: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + b"2\r\nok\r\n0\r\n\r\n"


_answers(
    "length_and_chunked",
    "gives a length and chunks",
    _framed("Content-Length: 2", "Transfer-Encoding: chunked"),
)
_answers("two_lengths", "gives two lengths", _framed("Content-Length: 2", "Content-Length: 12"))
_answers("two_lengths_in_one", "gives two lengths in one header", _framed("Content-Length: 2, 12"))
_answers("negative_length", "gives a negative length", _framed("Content-Length: -1"))
_answers("length_in_words", "gives a length that is no number", _framed("Content-Length: two"))
_answers("endless_length", "gives a length of more than 64 bits", _framed(f"Content-Length: {10**30}"))
_answers("gzip_chunked", "codes the transfer as nobody asked", _framed("Transfer-Encoding: gzip, chunked"))
_answers("chunked_twice", "names chunks twice", _framed("Transfer-Encoding: chunked, chunked"))
_answers("unknown_transfer", "has a transfer coding of its own", _framed("Transfer-Encoding: xchunked"))


# bodies that go wrong


@_fault("gives a length and closes before it is reached")
async def length_too_long(talk: Talk) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", talk.some_body())
    await talk.cue()


@_fault("gives a length and sends more")
async def extra_bytes_after_body(talk: Talk) -> None:
    await talk.request()
    await talk.say(talk.good_head(), talk.good_body(), b"and more")
    await talk.silence()


@_fault("sends a second response that nobody asked for")
async def second_response(talk: Talk) -> None:
    await talk.request()
    await talk.say(talk.good_head(), talk.good_body(), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    await talk.silence()


@_fault("sends a second response when its connection is idle again")
async def late_second_response(talk: Talk) -> None:
    await talk.request()
    await talk.say(talk.good_head(), talk.good_body())
    await talk.cue()
    await talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    await talk.silence()


@_fault("sends a body with a 204")
async def body_after_204(talk: Talk) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 204 No Content\r\n\r\n", b"body")
    await talk.silence()


async def _begin(talk: Talk) -> None:
    """Answer well up to the middle of the body, then wait for the cue."""
    await talk.request()
    await talk.say(talk.good_head(), talk.some_body())
    await talk.cue()


@_fault("closes after its head")
async def closes_after_head(talk: Talk) -> None:
    await talk.request()
    await talk.say(talk.good_head())
    await talk.cue()


@_fault("resets after its head")
async def resets_after_head(talk: Talk) -> None:
    await closes_after_head(talk)
    talk.reset()


@_fault("closes in the middle of its body, between two chunks if there are any")
async def closes_mid_body(talk: Talk) -> None:
    await _begin(talk)


@_fault("resets in the middle of its body")
async def resets_mid_body(talk: Talk) -> None:
    await _begin(talk)
    talk.reset()


@_fault("falls silent in the middle of its body")
async def stalls_mid_body(talk: Talk) -> None:
    await _begin(talk)
    await talk.silence()


@_fault("falls silent after its head")
async def stalls_after_head(talk: Talk) -> None:
    await closes_after_head(talk)
    await talk.silence()


@_fault("sends its body byte by byte, and all of it")
async def slow_body(talk: Talk) -> None:
    await talk.request()
    await talk.say(talk.good_head())
    await talk.crawl(talk.good_body())
    await behave(talk)


async def _chunks(talk: Talk, wrong: bytes) -> None:
    """Send a good chunk, wait for the cue, go on with something wrong."""
    kind = b"text/event-stream" if talk.stream else b"application/json"
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: ", kind, b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    await talk.say(chunk(EVENTS[0]))
    await talk.cue()
    await talk.say(wrong)


def _wrong_chunk(name: str, says: str, wrong: bytes, *, stays: bool = True) -> None:
    async def script(talk: Talk) -> None:
        await _chunks(talk, wrong)
        if stays:
            await talk.silence()

    FAULTS[name] = Fault(name, says, script)


_wrong_chunk("half_a_chunk_then_closes", "closes in the middle of a chunk", b"b\r\ndata: t", stays=False)
_wrong_chunk("half_a_size_then_closes", "closes in the middle of a chunk's size", b"1", stays=False)
_wrong_chunk("no_last_chunk", "closes without a last chunk", chunk(EVENTS[1]), stays=False)
_wrong_chunk("half_a_last_chunk", "closes in the middle of the last chunk", b"0\r\n", stays=False)
_wrong_chunk("invalid_chunk_size", "has a chunk whose size is no number", b"xyz\r\ndata\r\n")
_wrong_chunk("negative_chunk_size", "has a chunk of negative size", b"-5\r\ndata\r\n")
_wrong_chunk("huge_chunk_size", "has a chunk of more than 64 bits", b"f" * 17 + b"\r\ndata\r\n")
_wrong_chunk("chunk_longer_than_its_size", "has a chunk longer than it says", b"3\r\ndata\r\n")
_wrong_chunk("bare_lf_in_chunks", "ends the lines of its chunks with LF", b"4\ndata\n0\n\n")


# statuses


def _status(name: str, status: str, *lines: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.say(talk.good_head(status, *lines), talk.good_body())
        await behave(talk)

    FAULTS[name] = Fault(name, f"answers {status}", script)


_status("status_500", "500 Internal Server Error")
_status("status_503_retry_after", "503 Service Unavailable", "Retry-After: 7")
_status("status_529_retry_after", "529 Overloaded", "Retry-After: 7")
_status("status_429_retry_after", "429 Too Many Requests", "Retry-After: 7")
_status("redirect", "302 Found", "Location: http://127.0.0.1:1/elsewhere")


# answers before the request has been read


@_fault("answers well before it has read the request's body, then reads it")
async def early_response(talk: Talk) -> None:
    head = await talk.head()
    await talk.say(talk.good_head(), talk.good_body())
    await talk.body(head)
    await behave(talk)


@_fault("answers 413 before it has read the request's body, and closes as RFC 9112 section 9.6 has it")
async def early_413_then_closes(talk: Talk) -> None:
    await talk.head()
    await talk.say(talk.good_head("413 Content Too Large", "Connection: close"), talk.good_body())
    talk.writer.write_eof()  # a plain close would be a reset, which can overtake the answer
    await talk.silence()
