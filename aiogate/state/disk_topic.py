"""Topics of the board that outlive the process: in SQLite beside the journal, for a gateway that is alone.

What other processes write there (``aiogate keys``) is known within half a second: SQLite's own counter of changes tells
that there is something to read. Knows nothing of what is in the entries.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from aiogate.board import Topic
from aiogate.database_file import make_private
from aiogate.errors import StateError
from aiogate.state.board import MemoryBoard, MemoryTopic, checked

__all__ = ["DISK_FILE", "DiskBoard", "DiskTopic"]

T = TypeVar("T")
DISK_FILE: Final = "store.sqlite"
LOOK_SECONDS: Final = 0.5
_log: Final = logging.getLogger(__name__)
_WAIT_SECONDS: Final = 5.0
_EARLY_SECONDS: Final = 0.01
"""By so much the loop's timers may be before the clock on the wall: what ends within that has ended."""
_FOLDER_MODE: Final = 0o700
_VERSION: Final = 1
_SCHEMA: Final = """CREATE TABLE entries (
        topic TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires REAL, since REAL NOT NULL,
        PRIMARY KEY (topic, key)
    ) WITHOUT ROWID"""
_ALIVE: Final = "(expires IS NULL OR expires > ?)"
_PUT: Final = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)"

Rows = list[tuple[str, bytes, float | None, float]]


@attrs.define(eq=False)
class DiskTopic(MemoryTopic):
    """The entries of one topic, in memory as in a file, which is made with the first of them.

    Args:
        path: of the file.
        name: of the topic.
        wall: when it is: entries go by themselves by the clock on the wall, as they outlive the process.
    """

    _path: Path
    _name: str
    _wall: Callable[[], float] = time.time
    _db: sqlite3.Connection | None = attrs.field(default=None, init=False)
    _seen: tuple[int, int] | None = attrs.field(default=None, init=False)
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _following: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _trouble: str = attrs.field(default="", init=False)

    @property
    def degraded(self) -> str | None:
        """Why the file cannot be read at present; None: it can."""
        return self._trouble or None

    async def open(self, *, follow: bool = True) -> None:
        """Read what there is, and from now on whatever others change; raises ``StateError``."""
        await self._look()
        if follow:
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def shut(self) -> None:
        """Take no more notice of the file, and no more changes."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        self.close()
        async with self._turn:
            if self._db is not None:
                await asyncio.to_thread(self._db.close)
                self._db = None

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """Have an entry known, for so long; raises ``StateError``."""
        await self._change(_PUT, *self._row(key, value, seconds))

    async def put_new(self, key: str, value: bytes, *, seconds: float | None = None) -> bool:
        """Put an entry if there is none of that key, and tell whether it was put."""
        unless = f"SELECT 1 FROM entries WHERE topic = ? AND key = ? AND {_ALIVE}"  # noqa: S608 - of constants
        row = self._row(key, value, seconds)
        sql = f"INSERT OR REPLACE INTO entries SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS ({unless})"
        return await self._change(sql, *row, self._name, key, self._wall() + _EARLY_SECONDS) > 0

    async def remove(self, key: str, *, only: bytes | None = None) -> None:
        """Take an entry away; with ``only``, if that is still its value."""
        sql = "DELETE FROM entries WHERE topic = ? AND key = ? AND coalesce(? = value, 1)"
        await self._change(sql, self._name, key, only)

    def _row(self, key: str, value: bytes, seconds: float | None) -> tuple[str, str, bytes, float | None, float]:
        checked(key, value)
        now = self._wall()
        return self._name, key, value, None if seconds is None else now + seconds, now

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except StateError as error:
                if str(error) != self._trouble:
                    _log.error("%s; what was known is still good", error)
                self._trouble = str(error)
            else:
                self._trouble = ""

    async def _look(self) -> None:
        async with self._turn:
            rows = await self._in_thread(self._read)
            if rows is not None:
                self._take(rows)

    async def _change(self, sql: str, *values: object) -> int:
        """Make a change and know of it; return how many rows it was."""

        def change() -> tuple[int, Rows | None]:
            db = self._connected()
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.execute("DELETE FROM entries WHERE expires <= ?", (self._wall(),))
                count = db.execute(sql, values).rowcount
            self._seen = None
            return count, self._read()

        self._open()
        async with self._turn:
            count, rows = await self._in_thread(change)
            self._take(rows or [])
        return count

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (OSError, sqlite3.Error) as error:
            msg = f"{self._path}: {getattr(error, 'strerror', None) or error}"
            raise StateError(msg) from error

    def _read(self) -> Rows | None:
        """Return all rows if anything may have changed since they were read last, else None."""
        try:
            inode = self._path.stat().st_ino
        except (FileNotFoundError, NotADirectoryError):
            inode = 0
        if self._db is not None and self._seen is not None and inode != self._seen[1]:
            self._db.close()  # somebody has put another file there, or none
            self._db = self._seen = None
        if not inode and self._db is None:
            changed, self._seen = self._seen != (0, 0), (0, 0)
            return [] if changed else None
        db = self._connected()
        seen = db.execute("PRAGMA data_version").fetchone()[0], self._path.stat().st_ino
        if seen == self._seen:
            return None
        sql = f"SELECT key, value, expires, since FROM entries WHERE topic = ? AND {_ALIVE}"  # noqa: S608 - of constants
        rows: Rows = db.execute(sql, (self._name, self._wall())).fetchall()
        self._seen = seen
        return rows

    def _take(self, rows: Rows) -> None:
        now, found = self._wall(), {key for key, *_ in rows}
        for key, value, expires, since in rows:
            self._snapshot.set(key, value, None if expires is None else expires - now, now - since)
        for key in [key for key in self._snapshot.entries if key not in found]:
            self._snapshot.drop(key)

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            make_private(self._path)
            db = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                _prepare(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db


def _prepare(db: sqlite3.Connection) -> None:
    """Make the table in a new file; raises ``sqlite3.Error`` for a file of another version."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    with db:
        db.execute("BEGIN IMMEDIATE")
        version: Any = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, _VERSION}:
            msg = f"it is of another version of aiogate ({version}, not {_VERSION})"
            raise sqlite3.DatabaseError(msg)
        if version == 0:
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA user_version = {_VERSION}")


class DiskBoard:
    """The board of a gateway that is alone; what is put on some of its topics is there after a restart, too."""

    is_shared: Final = False

    def __init__(self, path: Path, names: Iterable[str], wall: Callable[[], float] = time.time) -> None:
        """Say which topics are kept in the file at ``path``."""
        self._kept = {name: DiskTopic(path, name, wall) for name in names}
        self._others = MemoryBoard()

    @property
    def degraded(self) -> str | None:
        """Why what is kept may be old; None: it is current."""
        return next((topic.degraded for topic in self._kept.values() if topic.degraded), None)

    def topic(self, name: str) -> Topic:
        """Return a subject by its name."""
        return self._kept.get(name) or self._others.topic(name)

    async def open(self, *, follow: bool = True) -> None:
        """Read what is kept; raises ``StateError``."""
        for topic in self._kept.values():
            await topic.open(follow=follow)

    async def close(self) -> None:
        """Take no more changes."""
        for topic in self._kept.values():
            await topic.shut()
        await self._others.close()
