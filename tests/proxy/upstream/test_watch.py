"""The coarse timer: it looks at everything that waits, at nothing else, and stops when it is told to."""

from collections.abc import Iterator

import attrs
import pytest

from aiogate.proxy.upstream.watch import Watch
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
    """Notes when it was looked at; leaves the watch at ``leaves``."""

    watch: Watch
    leaves: float = float("inf")
    looks: list[float] = attrs.field(factory=list)

    def check(self, now: float) -> None:
        self.looks.append(now)
        if now >= self.leaves:
            self.watch.discard(self)


def pass_seconds(loop: SteppedLoop, tenths: int) -> None:
    for _ in range(tenths):
        loop.now += 0.1 + 1e-9
        loop.settle()


def test_what_waits_is_looked_at_ten_times_a_second(loop: SteppedLoop, watch: Watch) -> None:
    waiting = Waiting(watch)
    watch.add(waiting)
    pass_seconds(loop, 20)
    assert len(waiting.looks) == 20
    assert waiting.looks == sorted(waiting.looks)
    assert waiting.looks[-1] == loop.now


def test_what_leaves_amid_a_look_is_not_looked_at_again_and_takes_nobody_along(loop: SteppedLoop, watch: Watch) -> None:
    waiting = [Waiting(watch, leaves=1000.25 if number % 2 else float("inf")) for number in range(10)]
    for each in waiting:
        watch.add(each)
    pass_seconds(loop, 10)
    assert [len(each.looks) for each in waiting] == [10, 3] * 5


def test_a_watch_that_is_closed_looks_no_more(loop: SteppedLoop, watch: Watch) -> None:
    waiting = Waiting(watch)
    watch.add(waiting)
    watch.close()
    pass_seconds(loop, 3)
    assert waiting.looks == []


def test_a_connection_is_watched_from_its_request_to_its_answer(loop: SteppedLoop, watch: Watch) -> None:
    this = line(loop, watch)
    assert this.connection not in watch._watched
    for _ in range(2):
        reading = loop.create_task(read(this.connection.send(AGENT, GET)))
        assert this.connection in watch._watched
        this.wire.say(OK)
        loop.settle()
        assert reading.result().body == b"ok"
        assert this.connection not in watch._watched
        this.shelf.returned.clear()


def test_a_connection_that_is_closed_is_watched_no_more(loop: SteppedLoop, watch: Watch) -> None:
    this = line(loop, watch)
    assert ask(this, [OK[:9]], end="reset").error == "agent_unreachable"
    assert not watch._watched


def test_a_request_times_out_by_the_timer_alone(loop: SteppedLoop, watch: Watch) -> None:
    this = line(loop, watch)
    reading = loop.create_task(read(this.connection.send(attrs.evolve(AGENT, first_byte_seconds=0.5), GET)))
    pass_seconds(loop, 4)
    assert not reading.done()
    pass_seconds(loop, 1)
    assert reading.result().error == "agent_timeout"
