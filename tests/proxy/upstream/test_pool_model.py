"""The pool against a model of it, whatever is asked for, broken off, lost or cancelled when."""

import asyncio
from typing import cast

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.connection import Connection, Home
from aiogate.proxy.upstream.pool import Pool

AGENT = Agent(id="echo", url="http://127.0.0.1:1", max_connections=3, max_idle=1, connect_seconds=1000.0)
TURNS = 8


class Line:
    """What the pool sees of a connection."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.usable = True
        self.lost = False
        self.idle_since = 0.0

    def abort(self) -> None:
        if self.usable:
            self.usable = False
            asyncio.get_running_loop().call_soon(self.gone)

    def gone(self) -> None:
        if not self.lost:
            self.usable, self.lost = False, True
            self.home.lost(cast("Connection", self))


class PoolModel(RuleBasedStateMachine):
    """Callers that want a connection, those that have one, and connections on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.dials: list[tuple[Home, asyncio.Future[Line]]] = []
        self.lines: list[Line] = []
        self.callers: list[asyncio.Task[Line]] = []
        self.held: dict[int, Line] = {}
        self.served: list[int] = []
        self.run(self.open())

    async def open(self) -> None:
        self.pool = Pool(AGENT, self.dial)

    def run(self, work: object) -> object:
        return self.loop.run_until_complete(work)  # type: ignore[arg-type]

    async def dial(self, home: Home, _seconds: float) -> Connection:
        made: asyncio.Future[Line] = self.loop.create_future()
        self.dials.append((home, made))
        try:
            return cast("Connection", await made)
        except asyncio.CancelledError:  # nothing stays open, as the dialer promises
            if made.done() and not made.cancelled() and made.exception() is None:
                made.result().gone()
            raise
        finally:
            self.dials.remove((home, made))

    async def call(self, number: int, fresh: bool) -> Line:
        taken = None if fresh else self.pool.take()
        line = cast("Line", taken or await self.pool.connect(fresh=fresh))
        self.held[number] = line
        self.served.append(number)
        return line

    async def turns(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    @rule(fresh=strategies.sampled_from([False, False, False, True]))
    def somebody_calls(self, fresh: bool) -> None:
        number = len(self.callers)

        async def begin() -> None:
            self.callers.append(asyncio.get_running_loop().create_task(self.call(number, fresh)))

        self.run(begin())
        self.run(self.turns())

    @precondition(lambda self: any(not caller.done() for caller in self.callers))
    @rule(data=strategies.data(), at_once=strategies.sampled_from(["nothing", "dial", "end", "loss"]))
    def somebody_leaves(self, data: strategies.DataObject, at_once: str) -> None:
        """At the very moment at which a connection may just have been handed to the one who leaves."""
        waiting = [caller for caller in self.callers if not caller.done()]
        leaving = data.draw(strategies.sampled_from(waiting))

        async def leave() -> None:
            if at_once == "dial" and self.dials:
                self.succeed(0)
            elif at_once == "end" and self.held:
                self.end(next(iter(self.held)))
            elif at_once == "loss" and self.held:
                self.held.pop(next(iter(self.held))).gone()
            leaving.cancel()

        self.run(leave())
        self.run(self.turns())

    @precondition(lambda self: self.dials)
    @rule(data=strategies.data(), works=strategies.booleans())
    def a_dial_ends(self, data: strategies.DataObject, works: bool) -> None:
        index = data.draw(strategies.integers(0, len(self.dials) - 1))

        async def end() -> None:
            if works:
                self.succeed(index)
            elif not (made := self.dials[index][1]).done():
                made.set_exception(UpstreamError("agent_unreachable", "no"))

        self.run(end())
        self.run(self.turns())

    @precondition(lambda self: self.held)
    @rule(data=strategies.data(), whole=strategies.booleans())
    def an_exchange_ends(self, data: strategies.DataObject, whole: bool) -> None:
        number = data.draw(strategies.sampled_from(sorted(self.held)))

        async def end() -> None:
            if whole:
                self.end(number)
            else:
                self.held.pop(number).abort()

        self.run(end())
        self.run(self.turns())

    @precondition(lambda self: self.lines)
    @rule(data=strategies.data())
    def the_agent_closes(self, data: strategies.DataObject) -> None:
        line = data.draw(strategies.sampled_from(self.lines))

        async def lose() -> None:
            line.gone()

        self.held = {number: held for number, held in self.held.items() if held is not line}
        self.run(lose())
        self.run(self.turns())

    def succeed(self, index: int) -> None:
        home, made = self.dials[index]
        if not made.done():
            line = Line(home)
            self.lines.append(line)
            made.set_result(line)

    def end(self, number: int) -> None:
        line = self.held.pop(number)
        line.home.back(cast("Connection", line))

    def waiting(self) -> list[int]:
        return [number for number, caller in enumerate(self.callers) if not caller.done()]

    @invariant()
    def no_connection_serves_two(self) -> None:
        held = [id(line) for line in self.held.values()]
        idle = [id(line) for line in cast("list[Line]", self.pool._idle)]
        assert len({*held, *idle}) == len(held) + len(idle)

    @invariant()
    def never_over_the_bounds(self) -> None:
        alive = sum(not line.lost for line in self.lines)
        assert alive + len(self.dials) <= AGENT.max_connections
        assert len(self.pool._idle) <= AGENT.max_idle
        assert len(self.pool._open) == alive
        assert self.pool._being_made == len(self.dials)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """Whoever waits does so because all places are taken, and by somebody else."""
        if len(self.waiting()) > len(self.dials):
            alive = sum(not line.lost for line in self.lines)
            assert alive + len(self.dials) == AGENT.max_connections
            assert not self.pool._idle

    def teardown(self) -> None:
        async def end() -> None:
            for caller in self.callers:
                caller.cancel()
            await asyncio.gather(*self.callers, return_exceptions=True)
            self.pool.close()

        self.run(end())
        assert self.pool._being_made == 0
        self.loop.close()


class TestPool(PoolModel.TestCase):
    settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


async def test_who_waits_longest_is_served_first() -> None:
    loop = asyncio.get_running_loop()
    lines: list[Line] = []

    async def dial(home: Home, _seconds: float) -> Connection:
        lines.append(Line(home))
        return cast("Connection", lines[-1])

    pool = Pool(Agent(id="echo", url="http://127.0.0.1:1", max_connections=1), dial)
    first = await pool.connect()
    order: list[int] = []

    async def caller(number: int) -> Connection:
        connection = await pool.connect()
        order.append(number)
        return connection

    tasks = [loop.create_task(caller(number)) for number in range(3)]
    await asyncio.sleep(0)
    pool.back(first)
    assert await tasks[0] is first
    lines[0].gone()  # the next one gets a connection of its own in that place
    pool.back(await tasks[1])
    await tasks[2]
    assert order == [0, 1, 2]
    assert len(lines) == 2


async def test_who_waits_too_long_is_told_why() -> None:
    async def dial(home: Home, _seconds: float) -> Connection:
        return cast("Connection", Line(home))

    pool = Pool(Agent(id="echo", url="http://127.0.0.1:1", max_connections=1, connect_seconds=0.01), dial)
    await pool.connect()
    try:
        await pool.connect()
    except UpstreamError as error:
        assert (error.code, error.detail) == (
            "agent_unavailable",
            "agent 'echo': none of its 1 connections came free within 0.01 s",
        )
    else:
        raise AssertionError("there was a second connection")
