"""The file in which the totals are kept: SQLite beside the segments, made when it is missing.

For ``totals.py``. Knows nothing of records.
"""

import sqlite3
import time
from pathlib import Path
from typing import Final

from aiogate.database_file import make_private
from aiogate.errors import JournalError
from aiogate.journal.tally import COUNTS, NAMES

__all__ = ["TOTALS_FILE", "connect", "connect_in_memory", "failure", "is_broken", "remove"]

TOTALS_FILE: Final = "totals.sqlite"

_VERSION: Final = 3
_WAIT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.005
_PRIMARY: Final = 0xFF
"""What of an error's code is the error; the rest tells its kinds apart."""
_SUMS: Final = "(bucket INTEGER NOT NULL, who INTEGER NOT NULL, {}, PRIMARY KEY (bucket, who)) WITHOUT ROWID".format(
    ", ".join(f"{count} INTEGER NOT NULL" for count in COUNTS)
)
_SCHEMA: Final = (
    """CREATE TABLE segments (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, chain TEXT NOT NULL, retired INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    "CREATE TABLE who (id INTEGER PRIMARY KEY, {}, UNIQUE ({}))".format(
        ", ".join(f"{name} TEXT NOT NULL" for name in NAMES), ", ".join(NAMES)
    ),
    f"CREATE TABLE quarters {_SUMS}",
    f"CREATE TABLE hours {_SUMS}",
    f"CREATE TABLE days {_SUMS}",
    f"CREATE TABLE archive {_SUMS}",
)
"""``segments``: how far each was folded. ``archive``: the quarters of records whose segments are gone."""


def connect(directory: Path) -> sqlite3.Connection:
    """Open the totals of a journal, for the thread that calls; raises ``JournalError``."""
    path = directory / TOTALS_FILE
    try:
        make_private(path)
        db = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise failure(directory, error) from error
    try:
        _use_wal(db)
        db.execute("PRAGMA synchronous = NORMAL")
        _prepare(db)
    except (sqlite3.Error, JournalError) as error:
        db.close()
        raise failure(directory, error) from error
    return db


def connect_in_memory() -> sqlite3.Connection:
    """Open totals that nothing stays of."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    _prepare(db)
    return db


def remove(directory: Path) -> None:
    """Take the totals away."""
    for suffix in ("", "-wal", "-shm"):
        (directory / f"{TOTALS_FILE}{suffix}").unlink(missing_ok=True)


def failure(directory: Path, error: Exception) -> JournalError:
    """Return what is wrong with the totals, or with the segments that they are folded from, as one sentence."""
    if isinstance(error, JournalError):
        return error
    if isinstance(error, OSError):
        return JournalError(f"journal in {directory}: {error.strerror or error}")
    hint = "" if isinstance(error, sqlite3.OperationalError) else "; they can be made anew: aiogate usage --rebuild"
    return JournalError(f"totals in {directory / TOTALS_FILE}: {error}{hint}")


def is_broken(error: JournalError) -> bool:
    """Tell totals that nobody can read any more from those that are only busy, or on a disk that is full."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, sqlite3.OperationalError)


def _use_wal(db: sqlite3.Connection) -> None:
    """Let readers and one writer go on side by side.

    SQLite waits for no lock while it changes to that: of processes that make the file at once, as workers do at their
    first start, one would fail.
    """
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _prepare(db: sqlite3.Connection) -> None:
    if _version(db) == _VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _version(db)
        if version not in {0, _VERSION}:
            msg = f"they are of another version of aiogate ({version}, not {_VERSION})"
            raise sqlite3.DatabaseError(msg)
        if version == 0:
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")
    finally:
        db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version
