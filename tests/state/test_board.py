"""What every board promises, in memory, on the disk and in Redis."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from aiogate.board import Board
from aiogate.errors import StateError
from aiogate.state.board import MemoryBoard
from aiogate.state.disk_topic import DiskBoard
from aiogate.state.redis.board import RedisBoard
from tests.state.factories import shared_server

SECONDS = 20
_numbers = count()


@pytest.fixture(params=["memory", "disk", "redis"])
async def board(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Board]:
    made: Board = MemoryBoard()
    if request.param == "disk":
        made = kept = DiskBoard(tmp_path / "store.sqlite", ("kills", "probes"))
        await kept.open()
    if request.param == "redis":
        shared = RedisBoard(shared_server().url, prefix=f"board{next(_numbers)}:")
        await shared.open()
        made = shared
    yield made
    await made.close()


async def test_what_is_put_is_known_and_heard_of_and_so_is_its_end(board: Board) -> None:
    topic = board.topic("kills")
    assert board.topic("kills") is topic
    heard = list[tuple[str, bytes | None]]()
    end = topic.on_change(lambda key, value: heard.append((key, value)))
    versions = [topic.version]
    for value in (b"one", b"\x00\n\xff"):
        await topic.put("alice ä", value)
        assert topic.entries == {"alice ä": value}
        versions.append(topic.version)
    await topic.remove("alice ä", only=b"one")
    assert topic.entries
    await topic.remove("alice ä", only=b"\x00\n\xff")
    await topic.remove("alice ä")
    versions.append(topic.version)
    assert not topic.entries
    assert heard == [("alice ä", b"one"), ("alice ä", b"\x00\n\xff"), ("alice ä", None)]
    assert versions == sorted(set(versions))
    end()
    await topic.put("bob", b"")
    assert topic.entries == {"bob": b""}
    assert len(heard) == 3


async def test_of_all_who_put_a_new_entry_one_succeeds_until_it_has_gone(board: Board) -> None:
    topic = board.topic("probes")
    gone = asyncio.Event()
    assert await topic.put_new("support", b"first", seconds=0.2)
    assert not await topic.put_new("support", b"second", seconds=60)
    topic.on_change(lambda _key, value: gone.set() if value is None else None)
    async with asyncio.timeout(SECONDS):
        await gone.wait()
    assert not topic.entries
    assert await topic.put_new("support", b"third", seconds=60)
    assert topic.entries == {"support": b"third"}


async def test_an_entry_that_is_put_again_lives_as_long_as_was_said_last(board: Board) -> None:
    topic = board.topic("kills")
    await topic.put("alice", b"1", seconds=0.05)
    await topic.put("alice", b"1")
    await topic.put("bob", b"1", seconds=0.05)
    gone = asyncio.Event()
    topic.on_change(lambda _key, _value: gone.set())
    async with asyncio.timeout(SECONDS):
        await gone.wait()
    assert topic.entries == {"alice": b"1"}


async def test_one_who_fails_to_hear_keeps_no_other_from_it(board: Board) -> None:
    heard = list[str]()

    def fails(_key: str, _value: bytes | None) -> None:
        raise RuntimeError

    board.topic("kills").on_change(fails)
    board.topic("kills").on_change(lambda key, _value: heard.append(key))
    await board.topic("kills").put("alice", b"1")
    assert heard == ["alice"]


async def test_a_closed_board_is_read_and_not_changed(board: Board) -> None:
    topic = board.topic("kills")
    await topic.put("alice", b"1", seconds=60)
    await board.close()
    for change in (topic.put("bob", b"1"), topic.put_new("bob", b"1"), topic.remove("alice")):
        with pytest.raises(StateError, match="closed"):
            await change
    assert topic.entries == {"alice": b"1"}


async def test_names_that_are_none_are_refused(board: Board) -> None:
    for name in ("", "Kills", "a topic", "x" * 65):
        with pytest.raises(ValueError, match="topic"):
            board.topic(name)
    for key in ("", "a\nb", "x" * 513):
        with pytest.raises(ValueError, match="key"):
            await board.topic("kills").put(key, b"")
