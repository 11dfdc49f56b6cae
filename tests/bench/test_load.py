"""Both load generators, the one in C and the one in Python, against servers that the tests hold in their hands."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.bench.ends import PYTHON_ENDS, Ends, ends
from tests.bench.framing import BenchError, chunk
from tests.bench.load import Counted, Load, Running, running
from tests.bench.questions import Question
from tests.bench.servers import ANSWER, STREAM_HEAD, Peer, serving

_NEVER_SECONDS = 20.0
QUESTION = Question(request=b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")


@pytest.fixture(params=["c", "python"])
def either(request: pytest.FixtureRequest) -> Ends:
    found = ends() if request.param == "c" else PYTHON_ENDS
    if request.param == "c" and not found.native:
        pytest.skip(found.note)
    return found


def stamped(delay_ns: int = 0) -> bytes:
    return chunk(b'data: {"t":"%019d"}\n\n' % (time.perf_counter_ns() - delay_ns))


async def answering(peer: Peer) -> None:
    while await peer.request():
        await peer.write(ANSWER)


async def until(generator: Running, enough: Callable[[Counted], bool]) -> Counted:
    """Mark until what has been counted in all is enough; return the sums and the largest quantiles."""
    total: Counted = {}
    async with asyncio.timeout(_NEVER_SECONDS):
        while not total or not enough(total):
            for name, number in (await generator.mark()).items():
                before = total.get(name, 0)
                total[name] = max(before, number) if "_p" in name or "_max" in name else before + number
    return total


async def test_it_sends_as_many_calls_as_it_was_told(either: Ends) -> None:
    seen = 0

    async def counting(peer: Peer) -> None:
        nonlocal seen
        while await peer.request():
            seen += 1
            await peer.write(ANSWER)

    async with serving(counting) as port:
        async with running(Load(mode="calls", question=QUESTION, connections=4, calls=50), port, either) as generator:
            counted = await generator.last()
    assert (counted["answers"], counted["bytes"], seen) == (50, 50 * len(ANSWER), 50)


async def test_without_a_number_it_calls_until_it_is_stopped_and_every_call_is_answered(either: Ends) -> None:
    asked = answered = 0

    async def counting(peer: Peer) -> None:
        nonlocal asked, answered
        while await peer.request():
            asked += 1
            await peer.write(ANSWER)
            answered += 1

    async with serving(counting) as port:
        async with running(Load(mode="calls", question=QUESTION, connections=4), port, either) as generator:
            total = await until(generator, lambda total: total["answers"] > 100)
            last = await generator.stop()
    assert total["answers"] + last["answers"] == asked == answered


async def test_filler_follows_the_request(either: Ends) -> None:
    body = bytearray()
    size = 3_000_000
    question = Question(request=b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size, filler_bytes=size)

    async def reading(peer: Peer) -> None:
        while await peer.request():
            body.extend(await peer.body(size))
            await peer.write(ANSWER)

    async with serving(reading) as port:
        async with running(Load(mode="calls", question=question, connections=1, calls=1), port, either) as generator:
            await generator.last()
    assert bytes(body) == b"x" * size


async def test_churn_takes_a_new_connection_for_every_call(either: Ends) -> None:
    connections = 0

    async def counting(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await answering(peer)

    async with serving(counting) as port:
        async with running(Load(mode="churn", question=QUESTION, connections=4, calls=50), port, either) as generator:
            counted = await generator.last()
    assert counted["answers"] == 50
    assert 50 <= connections <= 54


async def test_a_wrong_answer_ends_it_with_the_answer(either: Ends) -> None:
    async def refusing(peer: Peer) -> None:
        while await peer.request():
            await peer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow")

    async with serving(refusing) as port:
        with pytest.raises(BenchError, match="429 Too Many"):  # at once or when next asked
            async with running(
                Load(mode="calls", question=QUESTION, connections=2, calls=9), port, either
            ) as generator:
                await generator.last()


@pytest.mark.parametrize("mode", ["calls", "open"])
async def test_a_connection_that_is_lost_ends_it(either: Ends, mode: str) -> None:
    async def leaving(peer: Peer) -> None:
        await peer.request()
        await peer.write(ANSWER)

    load = Load(mode=mode, question=QUESTION, connections=2, per_second=1000)  # type: ignore[arg-type] # one of both
    async with serving(leaving) as port:
        with pytest.raises(BenchError, match="lost"):  # at once or when next asked
            async with running(load, port, either) as generator:
                await until(generator, lambda _: False)


async def test_a_port_where_nobody_listens_is_told(either: Ends) -> None:
    async with serving(answering) as port:
        pass
    with pytest.raises(BenchError, match=r"(?i)refused|connect"):
        async with running(Load(mode="calls", question=QUESTION, connections=1), port, either):
            pass


async def test_a_call_that_waits_for_a_line_has_been_waiting_since_it_was_due(either: Ends) -> None:
    """One line, a call a millisecond, and a server that takes 50 ms for the first: the others were late too."""
    first = True

    async def slow_at_first(peer: Peer) -> None:
        nonlocal first
        while await peer.request():
            if first:
                first = False
                await asyncio.sleep(0.05)  # the slowness itself
            await peer.write(ANSWER)

    load = Load(mode="open", question=QUESTION, connections=1, per_second=1000)
    async with serving(slow_at_first) as port:
        async with running(load, port, either) as generator:
            total = await until(generator, lambda total: total["answers"] >= 20)
    assert total["delay_max_ns"] >= 50e6
    assert total["delay_p50_ns"] >= 5e6


async def test_calls_at_random_times_come_at_the_rate_that_was_asked_for(either: Ends) -> None:
    load = Load(mode="open", question=QUESTION, connections=16, per_second=2000)
    async with serving(answering) as port:
        async with running(load, port, either) as generator:
            await generator.mark()
            total = await until(generator, lambda total: total["answers"] >= 600)
    assert total["answers"] / total["wall_ns"] * 1e9 == pytest.approx(2000, rel=0.3)


async def test_the_delay_of_an_event_is_the_time_since_its_stamp(either: Ends) -> None:
    more = asyncio.Event()

    async def streaming(peer: Peer) -> None:
        await peer.request()
        await peer.write(STREAM_HEAD + stamped())
        await more.wait()
        await peer.write(stamped(delay_ns=5_000_000_000))
        await peer.write(stamped(delay_ns=5_000_000_000))
        await peer.until_gone()

    async with serving(streaming) as port:
        async with running(Load(mode="streams", question=QUESTION, connections=3), port, either) as generator:
            assert (await generator.mark())["events"] == 0  # the first event opens the stream and does not count
            more.set()
            counted = await until(generator, lambda total: total["events"] == 6)
    assert 5e9 <= counted["delay_p50_ns"] < 6e9
    assert counted["delay_max_ns"] >= counted["delay_p99_ns"] >= counted["delay_p50_ns"]


async def test_a_stamp_that_is_cut_anywhere_is_read_once(either: Ends) -> None:
    event = stamped()
    more = asyncio.Event()

    async def cutting(peer: Peer) -> None:
        await peer.request()
        await peer.write(STREAM_HEAD + stamped())
        await more.wait()
        for border in range(len(event)):
            await peer.write(event[:border])
            await asyncio.sleep(0.001)  # so that the parts leave apart; joined, they prove less and break nothing
            await peer.write(event[border:])
        await peer.until_gone()

    async with serving(cutting) as port:
        async with running(Load(mode="streams", question=QUESTION, connections=1), port, either) as generator:
            await generator.mark()
            more.set()
            counted = await until(generator, lambda total: total["events"] >= len(event))
            assert (await generator.mark())["events"] == 0
    assert counted["events"] == len(event)


async def test_more_streams_are_opened_when_asked_for(either: Ends) -> None:
    opened = 0

    async def streaming(peer: Peer) -> None:
        nonlocal opened
        await peer.request()
        opened += 1
        await peer.write(STREAM_HEAD + stamped())
        await peer.until_gone()

    async with serving(streaming) as port:
        async with running(Load(mode="streams", question=QUESTION, connections=3), port, either) as generator:
            assert opened == 3
            await generator.grow(200)
            assert opened == 200


async def test_a_stream_that_is_refused_is_told(either: Ends) -> None:
    async def refusing(peer: Peer) -> None:
        await peer.request()
        await peer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await peer.until_gone()

    async with serving(refusing) as port:
        with pytest.raises(BenchError, match=r"not opened: HTTP/1\.1 503"):
            async with running(Load(mode="streams", question=QUESTION, connections=1), port, either):
                pass
