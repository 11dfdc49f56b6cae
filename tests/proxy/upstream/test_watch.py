"""The coarse timer: it looks at everything that waits, at nothing else, and stops when it is told to."""

from collections.abc import Iterator
from itertools import pairwise

import attrs
import pytest

from aiogate.proxy.upstream.watch import Watch, Watched
from tests.proxy.upstream.wires import AGENT, GET, SteppedLoop, ask, line, read, stepped

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped() as loop:
        yield loop


@pytest.fixture
def watch(loop: SteppedLoop) -> Iterator[Watch]:
    watch = Watch(loop)
    yield watch
    watch.close()


@attrs.define(eq=False)
class Waiting:
    """Notes when it was looked at, wants to be looked at again after ``seconds``; leaves the watch at ``leaves``."""

    watch: Watch
    seconds: float = 0.0
    leaves: float = float("inf")
    looks: list[float] = attrs.field(factory=list)
    waits_in: set[Watched] | None = None

    def check(self, now: float) -> float:
        self.looks.append(now)
        if now >= self.leaves:
            self.watch.discard(self)
        return now + self.seconds


def pass_seconds(loop: SteppedLoop, tenths: int) -> None:
    for _ in range(tenths):
        loop.now += 0.1 + 1e-9
        loop.settle()


def test_what_is_in_a_hurry_is_looked_at_ten_times_a_second(loop: SteppedLoop, watch: Watch) -> None:
    waiting = Waiting(watch)
    watch.add(waiting)
    pass_seconds(loop, 20)
    assert len(waiting.looks) == 20
    assert waiting.looks == sorted(waiting.looks)
    assert waiting.looks[-1] == loop.now


@pytest.mark.parametrize("seconds", [0.05, 0.25, 1.0, 3.33, 9.99])
def test_what_has_time_is_looked_at_when_it_says_and_a_tick_later_at_most(
    loop: SteppedLoop, watch: Watch, seconds: float
) -> None:
    waiting = Waiting(watch, seconds)
    watch.add(waiting)
    pass_seconds(loop, 400)
    gaps = [later - earlier for earlier, later in pairwise(waiting.looks)]
    assert gaps
    assert all(seconds <= gap <= seconds + 0.2 for gap in gaps)


def test_what_never_wants_to_be_looked_at_is_all_the_same_now_and_then(loop: SteppedLoop, watch: Watch) -> None:
    waiting = Waiting(watch, float("inf"))
    watch.add(waiting)
    pass_seconds(loop, 250)
    assert len(waiting.looks) == 3


def test_chunks_pass_between_the_looks_at_many(loop: SteppedLoop, watch: Watch) -> None:
    waiting = [Waiting(watch, 1.0) for _ in range(1000)]
    for each in waiting:
        watch.add(each)
    loop.now += 0.1 + 1e-9
    loop.settle()
    assert 0 < sum(len(each.looks) for each in waiting) <= 200
    for _ in range(20):
        loop.now += 0.0021
        loop.settle()
    assert [len(each.looks) for each in waiting] == [1] * 1000


def test_what_leaves_amid_a_look_is_not_looked_at_again_and_takes_nobody_along(loop: SteppedLoop, watch: Watch) -> None:
    waiting = [Waiting(watch, leaves=1000.25 if number % 2 else float("inf")) for number in range(10)]
    for each in waiting:
        watch.add(each)
    pass_seconds(loop, 10)
    assert [len(each.looks) for each in waiting] == [10, 3] * 5
    assert watch.watched == set(waiting[::2])


def test_a_watch_that_is_closed_looks_no_more(loop: SteppedLoop, watch: Watch) -> None:
    waiting = Waiting(watch)
    watch.add(waiting)
    watch.close()
    pass_seconds(loop, 3)
    assert waiting.looks == []
    assert not watch.watched


def test_a_connection_is_watched_as_long_as_it_is_open(loop: SteppedLoop, watch: Watch) -> None:
    this = line(loop, watch)
    for _ in range(2):
        reading = loop.create_task(read(this.connection.send(AGENT, GET)))
        this.wire.say(OK)
        loop.settle()
        assert reading.result().body == b"ok"
        assert watch.watched == {this.connection}
        this.shelf.returned.clear()
    this.connection.abort()
    loop.settle()
    assert not watch.watched


def test_a_connection_that_is_closed_is_watched_no_more(loop: SteppedLoop, watch: Watch) -> None:
    this = line(loop, watch)
    assert ask(this, [OK[:9]], end="reset").error == "agent_unreachable"
    assert not watch.watched


def test_a_request_that_begins_between_two_looks_times_out_in_time(loop: SteppedLoop, watch: Watch) -> None:
    this = line(loop, watch)
    agent = attrs.evolve(AGENT, first_byte_seconds=1.0, write_seconds=3.0)
    for begins in (3, 14, 27):  # tenths; it was looked at before, at rest
        reading = loop.create_task(read(this.connection.send(agent, GET)))
        this.wire.say(OK)
        loop.settle()
        this.shelf.returned.clear()
        assert reading.done()
        pass_seconds(loop, begins)
    reading = loop.create_task(read(this.connection.send(agent, GET)))
    pass_seconds(loop, 9)
    assert not reading.done()
    pass_seconds(loop, 3)
    assert reading.result().error == "agent_first_byte_timeout"


def test_a_request_times_out_by_the_timer_alone(loop: SteppedLoop, watch: Watch) -> None:
    this = line(loop, watch)
    reading = loop.create_task(read(this.connection.send(attrs.evolve(AGENT, first_byte_seconds=0.5), GET)))
    pass_seconds(loop, 4)
    assert not reading.done()
    pass_seconds(loop, 1)
    assert reading.result().error == "agent_first_byte_timeout"
