"""The journal's totals by quarters, hours and days, folded from its records into SQLite, each record exactly once.

For the reports, for budgets and for whoever keeps the journal; never on the event loop. The segments are the source of
truth: the totals can be deleted and are made anew, save for records whose segments were removed after their time.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import attrs

from aiogate.errors import JournalError
from aiogate.journal.action import is_action
from aiogate.journal.ledger import Ledger, Stretch
from aiogate.journal.reader import Record, Torn, parsed, parsed_text
from aiogate.journal.sealed import DamagedError, length, open_segment
from aiogate.journal.segment import name_of, segments
from aiogate.journal.tally import COUNTS, LARGEST, NAMES, Key, Tally
from aiogate.journal.totals_file import connect, connect_in_memory, failure, is_broken, remove

__all__ = ["Totals"]

_SLICE_BYTES: Final = 1024 * 1024
_LARGE_SLICE_BYTES: Final = 8 * 1024 * 1024
_COARSE: Final = {"hours": 3600, "days": 86400}
_MARKS: Final = ", ".join("?" * (2 + len(COUNTS)))
_MORE: Final = ", ".join(f"{count} = min({count} + excluded.{count}, {LARGEST})" for count in COUNTS)
_ADD: Final = "INSERT INTO {} VALUES ({}) ON CONFLICT DO UPDATE SET {}"
_MOVE: Final = (
    "INSERT INTO segments (name, position, chain) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET position = excluded.position, "
    "chain = CASE excluded.chain WHEN '' THEN chain ELSE excluded.chain END"
)


def _nothing(*_facts: object) -> None:
    """Take no note of it."""


@attrs.define(eq=False)
class Totals:
    """The totals of one journal, open for one thread.

    ``fold`` may run in several processes at once: offsets and sums change in one transaction.

    Args:
        directory: the journal's.
        slice_bytes: so much is folded in one transaction.
    """

    directory: Path
    db: sqlite3.Connection
    slice_bytes: int = _SLICE_BYTES
    _who: dict[Key, int] = attrs.field(factory=dict, init=False)

    @classmethod
    @contextmanager
    def of(cls, directory: Path, slice_bytes: int = _SLICE_BYTES) -> Iterator[Self]:
        """Open the totals of the journal in a directory; raises ``JournalError``, as all of it does."""
        db = connect(directory)
        try:
            yield cls(directory, db, slice_bytes)
        except (sqlite3.Error, OSError) as error:
            raise failure(directory, error) from error
        finally:
            db.close()

    @classmethod
    @contextmanager
    def made_anew(cls, directory: Path) -> Iterator[Self]:
        """Open the totals with nothing in them but what the records of segments that are gone have left."""
        try:
            with cls.of(directory) as totals:
                totals.forget()
        except JournalError as error:
            if not is_broken(error):
                raise
            remove(directory)
        with cls.of(directory, _LARGE_SLICE_BYTES) as totals:
            yield totals

    def fold(
        self,
        torn: Callable[[Torn], None] = _nothing,
        progress: Callable[[int, int], None] = _nothing,
        pause: Callable[[], None] = _nothing,
        ledger: Ledger | None = None,
    ) -> int:
        """Fold what is in the journal and not in the totals yet; return how many records.

        What comes meanwhile is left for the next time: of a journal that is being written there would always be more.

        Args:
            torn: is told of what is no record.
            progress: is told how many bytes are done, and of how many, after each transaction.
            pause: is called after each transaction, when nothing is locked.
            ledger: has sums of what this process has appended, which then need not be read.
        """
        folded, ends = 0, {name_of(path): length(path) for path in segments(self.directory)}
        if ledger is not None:
            folded += sum(map(self.add, ledger.take()))
            if ledger.end is not None:
                ends.update([ledger.end])
        while behind := self._behind(ends):
            count = self._fold_all(behind, torn, progress, pause, ends)
            if count is None:
                break
            folded += count
        return folded

    def has_all_of(self, path: Path) -> bool:
        """Tell whether a segment is folded to its end, or was once and is archived."""
        position = self._position(name_of(path))
        return position < 0 or position == length(path)

    def quarters(self, touched: Iterable[tuple[int, Key]]) -> Iterator[tuple[int, Key, list[int]]]:
        """Yield the sums of some quarters, each with its names, as far as there are any."""
        who = " AND ".join(f"{name} = ?" for name in NAMES)
        sql = f"SELECT {', '.join(COUNTS)} FROM quarters JOIN who ON who = id WHERE bucket = ? AND {who}"  # noqa: S608 - of constants
        for quarter, names in touched:
            for sums in self.db.execute(sql, (quarter, *names)):
                yield quarter, names, list(sums)

    def quarters_since(self, begin: float) -> Iterator[tuple[int, Key, list[int]]]:
        """Yield all sums of quarters that began then or later."""
        columns = ", ".join(("bucket", *NAMES, *COUNTS))
        sql = f"SELECT {columns} FROM quarters JOIN who ON who = id WHERE bucket >= ? ORDER BY bucket"  # noqa: S608 - likewise
        for bucket, *rest in self.db.execute(sql, (begin,)):
            yield bucket, tuple(rest[: len(NAMES)]), rest[len(NAMES) :]

    @classmethod
    @contextmanager
    def in_memory(cls, rows: Iterable[tuple[int, Key, list[int]]]) -> Iterator[Self]:
        """Open totals of quarters that come from elsewhere: of several journals, which have some in common."""
        db = connect_in_memory()
        try:
            totals = cls(Path(), db)
            with totals._writing():
                for bucket, names, sums in rows:
                    totals._add_row(bucket, names, sums)
            yield totals
        finally:
            db.close()

    def reaches(self, segment: str, position: int) -> bool:
        """Tell whether a segment is folded up to a place, or was once and is archived."""
        folded = self._position(segment)
        return folded < 0 or folded >= position

    def retire(self, path: Path) -> None:
        """Keep the sums of a segment apart, so that they stay when its file goes and all else is made anew."""
        name = name_of(path)
        with open_segment(path) as file:
            tally = _tally_of(file)
        with self._writing():
            if self._position(name) < 0:
                return
            self._add("archive", tally)
            self.db.execute("UPDATE segments SET retired = 1 WHERE name = ?", (name,))

    def add(self, stretch: Stretch) -> int:
        """Fold a stretch by its sums alone; return how many records, 0 where the segment has to be read."""
        name, tally = stretch.name, stretch.tally
        if tally is None or not stretch.segment.path.exists():
            return 0
        moved = self._move(name, stretch.begin, stretch.end, tally, stretch.chain.decode())
        return stretch.count if moved else 0

    def _behind(self, ends: Mapping[str, int]) -> list[tuple[Path, int]]:
        """Return the segments of which not all is folded, and how much of each is not."""
        positions = dict(self.db.execute("SELECT name, position FROM segments WHERE NOT retired"))
        retired = {name for (name,) in self.db.execute("SELECT name FROM segments WHERE retired")}
        found = [(path, name_of(path)) for path in segments(self.directory)]
        rest = [(path, ends.get(name, 0) - positions.get(name, 0)) for path, name in found if name not in retired]
        return [(path, size) for path, size in rest if size > 0]

    def _fold_all(
        self,
        behind: list[tuple[Path, int]],
        torn: Callable[[Torn], None],
        progress: Callable[[int, int], None],
        pause: Callable[[], None],
        ends: Mapping[str, int],
    ) -> int | None:
        """Fold and return how many records; None: there was no whole line."""
        whole, done, folded = sum(size for _, size in behind), 0, 0
        for path, _ in behind:
            try:
                for begin, block in self._unread(path, ends[name_of(path)]):
                    count = self._fold_block(path, begin, block, torn)
                    done += len(block)
                    if count is None:
                        break  # another process has been here; what is left is looked for again
                    folded += count
                    progress(min(done, whole), whole)
                    pause()
            except DamagedError:  # the others are no worse for it
                torn(Torn(path=path, offset=self._position(name_of(path)), size=0))
        return folded if done else None

    def _unread(self, path: Path, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield where a block of whole lines begins, and the block; what lies behind ``end`` is left alone."""
        begin = self._position(name_of(path))
        if begin < 0:
            return
        try:
            file = open_segment(path, begin)
        except FileNotFoundError:
            return
        with file:
            rest = b""
            while block := file.read(min(self.slice_bytes, end - begin - len(rest))):
                lines, feed, begun = block.rpartition(b"\n")
                if not feed:
                    rest += block
                    continue
                lines, rest = rest + lines + feed, begun
                yield begin, lines
                begin += len(lines)

    def _position(self, name: str) -> int:
        """Return how far a segment was folded; -1: its records are archived."""
        row = self.db.execute("SELECT position, retired FROM segments WHERE name = ?", (name,)).fetchone()
        if row is None:
            return 0
        return -1 if row[1] else int(row[0])

    def _fold_block(self, path: Path, begin: int, block: bytes, torn: Callable[[Torn], None]) -> int | None:
        tally, name, count, bad, chain = Tally(), name_of(path), 0, list[Torn](), ""
        offset = begin
        for line in block[:-1].split(b"\n"):
            record, size = parsed_text(line), len(line) + 1
            if record is None or not ((action := is_action(record)) or _added(tally, record)):
                bad.append(Torn(path=path, offset=offset, size=size))
            else:
                count, chain = count + (not action), record.get("chain") or ""
            offset += size
        if not self._move(name, begin, begin + len(block), tally, chain):
            return None
        for one in bad:
            torn(one)
        return count

    def _move(self, name: str, begin: int, end: int, tally: Tally, chain: str) -> bool:
        """Add the sums of what lies between two bytes; tell whether it was not folded yet."""
        with self._writing():
            if self._position(name) != begin:
                return False
            for table in ("quarters", *_COARSE):
                self._add(table, tally)
            self.db.execute(_MOVE, (name, end, chain))
        return True

    def _add_row(self, bucket: int, names: Key, sums: list[int]) -> None:
        for table in ("quarters", *_COARSE):
            begin = bucket - bucket % _COARSE.get(table, 1)
            self.db.execute(_ADD.format(table, _MARKS, _MORE), (begin, self._who_is(names), *sums))

    def _add(self, table: str, tally: Tally) -> None:
        size = _COARSE.get(table, 1)
        rows = [(begin - begin % size, self._who_is(names), *sums) for begin, names, sums in tally.rows()]
        self.db.executemany(_ADD.format(table, _MARKS, _MORE), rows)

    def _who_is(self, names: Key) -> int:
        """Return the number of a combination of names, given to it now if it is new."""
        known = self._who.get(names)
        if known is None:
            same = " AND ".join(f"{name} = ?" for name in NAMES)
            marks = ", ".join("?" * len(NAMES))
            self.db.execute(f"INSERT OR IGNORE INTO who ({', '.join(NAMES)}) VALUES ({marks})", names)  # noqa: S608 - of constants
            known = self._who[names] = self.db.execute(f"SELECT id FROM who WHERE {same}", names).fetchone()[0]  # noqa: S608 - likewise
        return known

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            self._who.clear()  # a number that was given just now is none
            raise
        self.db.execute("COMMIT")

    def forget(self) -> None:
        """Go back to what the records of segments that are gone have left."""
        with self._writing():
            for statement in (
                "DELETE FROM quarters",
                "DELETE FROM hours",
                "DELETE FROM days",
                "DELETE FROM segments WHERE NOT retired",
                "INSERT INTO quarters SELECT * FROM archive",
            ):
                self.db.execute(statement)
            added = ", ".join(f"sum({count})" for count in COUNTS)
            for table, size in _COARSE.items():
                begin = f"bucket - bucket % {size}"
                sums = f"SELECT {begin}, who, {added} FROM quarters GROUP BY 1, 2"  # noqa: S608 - of constants
                self.db.execute(f"INSERT INTO {table} {sums}")


def _added(tally: Tally, record: Record) -> bool:
    """Add a record; tell whether it is one."""
    try:
        tally.add(record)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    return True


def _tally_of(lines: Iterable[bytes]) -> Tally:
    tally = Tally()
    for line in lines:
        record = parsed(line)
        if record is not None and not is_action(record):
            _added(tally, record)
    return tally
