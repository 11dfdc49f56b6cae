"""The boards of several gateways on a Redis that a test breaks: they come to agree, whatever is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest

from aiogate.errors import StateError
from aiogate.state.redis.board import RedisBoard
from aiogate.state.redis.link import Link
from tests.state.redis.conftest import SECONDS, until
from tests.state.redis_server import RedisServer

Make = Callable[[], Awaitable[RedisBoard]]
WITHIN_SECONDS = 1.5
"""A second, and what a machine takes that others use too."""


@pytest.fixture
async def make(server: RedisServer) -> AsyncIterator[Make]:
    made = list[RedisBoard]()

    async def one() -> RedisBoard:
        board = RedisBoard(server.url)
        await board.open()
        made.append(board)
        return board

    yield one
    for board in made:
        await board.close()


async def within(seconds: float, holds: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await until(holds)
    assert loop.time() - began < seconds


async def test_what_one_changes_all_know_at_once_and_one_that_comes_later_too(make: Make) -> None:
    one, two = await make(), await make()
    heard = list[tuple[str, bytes | None]]()
    two.topic("kills").on_change(lambda key, value: heard.append((key, value)))
    await until(lambda: two._hears._connection is not None)
    await one.topic("kills").put("alice", b"1")
    await one.topic("kills").put("bob", b"2", seconds=60)
    await within(WITHIN_SECONDS, lambda: len(heard) == 2)
    await one.topic("kills").remove("alice")
    await within(WITHIN_SECONDS, lambda: len(heard) == 3)
    assert heard == [("alice", b"1"), ("bob", b"2"), ("alice", None)]
    three = await make()
    assert three.topic("kills").entries == one.topic("kills").entries == two.topic("kills").entries == {"bob": b"2"}
    assert len({board.topic("kills").version for board in (one, two, three)}) == 1


async def test_changes_of_several_at_once_end_in_one_and_the_same(make: Make) -> None:
    boards = [await make(), await make(), await make()]
    await asyncio.gather(
        *(board.topic("keys").put(f"k{n % 7}", b"%d" % n) for n, board in enumerate(boards * 20)),
        *(board.topic("keys").remove(f"k{n}") for n, board in enumerate(boards)),
    )
    await until(lambda: all(not board.topic("keys").is_behind for board in boards))
    for one, two in pairwise(boards):
        await until(lambda one=one, two=two: one.topic("keys").version == two.topic("keys").version)  # type: ignore[misc]
        assert one.topic("keys").entries == two.topic("keys").entries


async def test_of_many_who_put_a_new_entry_one_succeeds(make: Make) -> None:
    boards = [await make(), await make(), await make()]
    puts = [board.topic("probes").put_new("support", b"%d" % n, seconds=60) for n, board in enumerate(boards * 10)]
    assert sum(await asyncio.gather(*puts)) == 1
    await until(lambda: len({*(board.topic("probes").entries["support"] for board in boards)}) == 1)


async def test_the_check_finds_what_no_message_has_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(_link: Link) -> bytes:
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(Link, "heard", deaf)
    one, two = await make(), await make()
    await one.topic("kills").put("alice", b"1")
    await within(WITHIN_SECONDS, lambda: "alice" in two.topic("kills").entries)
    await one.topic("kills").remove("alice")
    await within(WITHIN_SECONDS, lambda: not two.topic("kills").entries)


async def test_while_redis_is_away_what_was_known_is_read_and_nothing_changed(make: Make, server: RedisServer) -> None:
    one = await make()
    await one.topic("kills").put("alice", b"1")
    await one.topic("kills").put("bob", b"1", seconds=0.3)
    server.kill()
    await until(lambda: one.degraded is not None and "bob" not in one.topic("kills").entries)
    assert one.topic("kills").entries == {"alice": b"1"}
    with pytest.raises(StateError):
        await one.topic("kills").put("carol", b"1")
    late = await make()
    assert late.degraded
    server.start()
    await until(lambda: one.degraded is None and late.degraded is None)
    await until(lambda: late.topic("kills").entries == {"alice": b"1"})


@pytest.mark.parametrize("lose", ["restart", "flush"])
async def test_what_redis_has_lost_its_gateways_put_there_again(make: Make, server: RedisServer, lose: str) -> None:
    one, two = await make(), await make()
    await one.topic("keys").put("alice", b"1")
    await one.topic("keys").put("bob", b"1")
    await until(lambda: len(two.topic("keys").entries) == 2)
    if lose == "restart":
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    else:
        await asyncio.to_thread(server.call, "FLUSHALL")
    async with asyncio.timeout(SECONDS):
        while (await asyncio.to_thread(server.call, "HLEN", "aiogate:{board}:topic:keys")) != 2:
            await asyncio.sleep(0.01)
    three = await make()
    assert three.topic("keys").entries == {"alice": b"1", "bob": b"1"}
    await until(lambda: one.degraded is None)
    await one.topic("keys").remove("bob")
    await until(lambda: two.topic("keys").entries == three.topic("keys").entries == {"alice": b"1"})


async def test_a_gateway_that_was_away_brings_nothing_back_that_was_taken_away(make: Make, server: RedisServer) -> None:
    """Neither when Redis has kept its memory, nor when it has lost it and the others have told it anew."""
    one, stale = await make(), await make()
    await one.topic("keys").put("alice", b"1")
    await until(lambda: "alice" in stale.topic("keys").entries)
    for task in stale._tasks:
        task.cancel()
    await one.topic("keys").remove("alice")
    await asyncio.to_thread(server.call, "FLUSHALL")
    two = await make()
    await stale._check()  # it comes first, and what it knows is old
    assert "alice" in stale.topic("keys").entries
    await until(lambda: two.topic("keys").version > 0)
    await one._check()
    await stale._check()
    await until(lambda: not stale.topic("keys").entries and not two.topic("keys").entries)
    assert not one.topic("keys").entries


async def test_what_others_have_written_there_ends_nothing(make: Make, server: RedisServer) -> None:
    one, two = await make(), await make()
    await until(lambda: two._hears._connection is not None)
    for message in ("", "hello", "\n\n", "kills 1 x 3 4 5 + 6\n"):
        await asyncio.to_thread(server.call, "PUBLISH", "aiogate:{board}:versions:changes", message)
    await one.topic("kills").put("alice", b"1")
    await within(WITHIN_SECONDS, lambda: "alice" in two.topic("kills").entries)
    await asyncio.to_thread(server.call, "HSET", "aiogate:{board}:topic:kills", "bob", "nothing of ours")
    await one.topic("keys").put("carol", b"1")
    await within(WITHIN_SECONDS, lambda: "carol" in two.topic("keys").entries)
    await asyncio.to_thread(server.call, "HDEL", "aiogate:{board}:topic:kills", "bob")
    await one.topic("kills").remove("alice")
    await until(lambda: not two.topic("kills").entries and two.degraded is None)


async def test_a_user_who_may_not_publish_nor_subscribe_knows_a_second_later(make: Make, server: RedisServer) -> None:
    server.call("ACL", "SETUSER", "default", "-publish", "-subscribe")
    one, two = await make(), await make()
    await one.topic("kills").put("alice", b"1")
    await within(WITHIN_SECONDS, lambda: "alice" in two.topic("kills").entries)
