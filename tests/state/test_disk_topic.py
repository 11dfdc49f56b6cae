"""Topics in a file: what another process changes is known within a second, and a restart forgets nothing."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from aiogate.errors import StateError
from aiogate.state.disk_topic import DiskTopic

SECONDS = 20
WITHIN_SECONDS = 1.5
"""A second, and what a machine takes that others use too."""
OTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from aiogate.state.disk_topic import DiskTopic
async def main():
    topic = DiskTopic(Path(sys.argv[1]), "keys")
    await topic.open()
    await topic.put("bob", b"2")
    await topic.remove("alice")
    await topic.shut()
asyncio.run(main())
"""
Make = Callable[[], Awaitable[DiskTopic]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "store.sqlite"


@pytest.fixture
async def make(path: Path) -> AsyncIterator[Make]:
    made = list[DiskTopic]()

    async def one() -> DiskTopic:
        topic = DiskTopic(path, "keys")
        await topic.open()
        made.append(topic)
        return topic

    yield one
    for topic in made:
        await topic.shut()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def spoil(path: Path) -> None:
    """Put a file there that is no database."""
    path.parent.mkdir(exist_ok=True)
    clear(path)
    path.write_bytes(b"not a database at all, but long enough to be taken for one" * 20)


def clear(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


async def until_it_knows(topic: DiskTopic, entries: dict[str, bytes]) -> None:
    """Return when that is so, within a second."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(SECONDS):
        while topic.entries != entries:
            await asyncio.sleep(0.001)
    assert loop.time() - began < WITHIN_SECONDS


async def test_nothing_is_made_before_there_is_an_entry_and_then_for_its_owner_alone(make: Make, path: Path) -> None:
    topic = await make()
    assert not path.parent.exists()
    await topic.put("alice", b"1")
    assert [mode(one) for one in (path, path.parent)] == [0o600, 0o700]


async def test_what_another_process_changes_is_known_within_a_second_and_after_a_restart(
    make: Make, path: Path
) -> None:
    """The first entry of all too, which makes the file."""
    one, two = await make(), await make()
    await two.put("alice", b"1", seconds=3600)
    await until_it_knows(one, {"alice": b"1"})
    process = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", OTHER_PROCESS, str(path)])
    assert process.returncode == 0
    await until_it_knows(one, {"bob": b"2"})
    assert (await make()).entries == {"bob": b"2"}


async def test_a_file_that_is_taken_away_takes_all_with_it_and_another_one_is_read(make: Make, path: Path) -> None:
    topic = await make()
    await topic.put("alice", b"1")
    clear(path)
    await until_it_knows(topic, {})
    await (await make()).put("bob", b"2")
    await until_it_knows(topic, {"bob": b"2"})


async def test_a_file_that_is_none_of_ours_is_said_to_be_so(make: Make, path: Path) -> None:
    spoil(path)
    with pytest.raises(StateError, match=r"store\.sqlite: file is not a database"):
        await make()
    clear(path)

    def of_tomorrow() -> None:
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()

    await asyncio.to_thread(of_tomorrow)
    with pytest.raises(StateError, match="of another version of aiogate"):
        await make()


async def test_a_file_that_cannot_be_read_any_more_leaves_what_was_known_and_says_why(make: Make, path: Path) -> None:
    topic = await make()
    await topic.put("alice", b"1")
    assert topic.degraded is None
    spoil(path)
    async with asyncio.timeout(SECONDS):
        while topic.degraded is None:
            await asyncio.sleep(0.01)
    assert topic.entries == {"alice": b"1"}
