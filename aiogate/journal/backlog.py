"""What of a journal the centre does not know yet: in order, a little at a time, and from where it was after a restart.

For the shipper, in a thread. Of all processes that keep one journal one reads it for this purpose, whoever comes first;
when that dies another one goes on. The position is in ``shipped.json`` beside the segments, and moves only when what
lies before it was acknowledged. ``source.id`` says which journal this is: a copy of the directory is the same one to
the centre, and without the file it is another one, whose sums count beside those of before.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import attrs
import orjson

from aiogate.errors import JournalError
from aiogate.journal.action import is_action
from aiogate.journal.chain import link_of
from aiogate.journal.reader import Record, parsed
from aiogate.journal.sealed import DamagedError, length, open_segment
from aiogate.journal.segment import SEALED_SUFFIX, name_of, segments
from aiogate.journal.tally import Key, Tally

__all__ = ["Backlog", "Batch", "Line", "source_of"]

_LOCK_FILE: Final = "shipped.lock"
_POSITIONS_FILE: Final = "shipped.json"
_SOURCE_FILE: Final = "source.id"
_MODE: Final = 0o600
_SLICE_BYTES: Final = 32 * 1024
_COUNTED_BYTES: Final = 1024 * 1024


@attrs.frozen
class Line:
    """One record as it is shipped: its id, the record without its line feed, and where in its segment it ends."""

    id: str
    text: bytes
    end: int


@attrs.frozen(kw_only=True)
class Batch:
    """The next records of one segment.

    Args:
        segment: its name.
        start: where they begin in it.
        end: where they end.
        lines: how many lines that are, whole or torn.
        touched: which sums have changed by them, each by its quarter in seconds since 1970 and its names.
    """

    segment: str
    start: int
    end: int
    lines: int
    records: tuple[Line, ...]
    touched: tuple[tuple[int, Key], ...]


@attrs.define(eq=False)
class Backlog:
    """The records of one journal that are not acknowledged; ``behind`` counts them, as far as they were measured."""

    directory: Path
    source: str
    positions: dict[str, int]
    behind: int = 0
    _lock: int = -1
    _counted: dict[str, int] = attrs.field(factory=dict)
    _done: set[str] = attrs.field(factory=set)

    @classmethod
    def opened(cls, directory: Path) -> Self | None:
        """Return the backlog of a journal; None: another process has it. Raises ``JournalError``."""
        try:
            lock = os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CREAT, _MODE)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                backlog = cls(directory, source_of(directory), _positions_of(directory), lock=lock)
            except BaseException:
                os.close(lock)
                raise
        except BlockingIOError:
            return None
        except OSError as error:
            raise _failure(directory, error) from error
        backlog._counted = dict(backlog.positions)
        return backlog

    def close(self) -> None:
        """Leave it to another process."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def measure(self) -> dict[str, int]:
        """Count what was written since the last time; return where each segment ends by now."""
        for path in self._open_ones():
            self._measure(path)
        return dict(self._counted)

    def next(self, size: int = _SLICE_BYTES, ends: Mapping[str, int] | None = None) -> Batch | None:
        """Return the oldest records that are not acknowledged, up to ``ends`` if given; None: there are none.

        Of a segment that is being written there would always be more, a few records at a time, and the others would
        never have their turn.
        """
        for path in self._open_ones():
            start = self.positions.get(name_of(path), 0)
            left = size if ends is None else min(size, ends.get(name_of(path), 0) - start)
            block = self._read(path, start, left) if left > 0 else b""
            if block:
                if self._counted.get(name_of(path), 0) < start + len(block):
                    self._measure(path)
                return _batch(name_of(path), start, block)
        return None

    def acknowledged(self, batch: Batch) -> None:
        """Go on behind a batch; raises ``JournalError`` where the position cannot be kept, and it comes again then."""
        self._keep({**self.positions, batch.segment: batch.end})
        self.behind = max(0, self.behind - batch.lines)

    def go_back(self, segment: str, position: int) -> None:
        """Begin again where the centre says that it is: it has lost what it had acknowledged behind that."""
        self._keep({**self.positions, segment: position})
        self.behind, self._counted = 0, dict(self.positions)
        self._done.discard(segment)
        self.measure()

    def forget_gone(self) -> list[str]:
        """Forget the segments that are there no more, and return their names."""
        there = {name_of(path) for path in segments(self.directory)}
        gone = [name for name in self.positions if name not in there]
        if gone:
            self._keep({name: at for name, at in self.positions.items() if name in there})
            self._done &= there
        return gone

    def has_all_of(self, path: Path) -> bool:
        """Tell whether a segment was acknowledged to its end."""
        return name_of(path) in self._done or self.positions.get(name_of(path), 0) >= length(path)

    def _measure(self, path: Path) -> None:
        name, counted = name_of(path), self._counted.get(name_of(path), 0)
        try:
            with open_segment(path, counted) as file:
                while block := file.read(_COUNTED_BYTES):
                    self.behind += block.count(b"\n")
                    counted += len(block)
        except (FileNotFoundError, DamagedError):
            pass
        self._counted[name] = counted

    def _open_ones(self) -> Iterator[Path]:
        """Yield the segments of which there may be more than was acknowledged."""
        for path in segments(self.directory):
            name = name_of(path)
            if name in self._done:
                continue
            if self.positions.get(name, 0) < length(path):
                yield path
            elif path.suffix == SEALED_SUFFIX:
                self._done.add(name)

    def _read(self, path: Path, start: int, size: int) -> bytes:
        """Return whole lines of a segment from a position on, about so many bytes; empty where there are none."""
        try:
            with open_segment(path, start) as file:
                block = file.read(size)
                while block and b"\n" not in block and (more := file.read(size)):
                    block += more
        except FileNotFoundError:
            return b""
        except DamagedError:  # what stands behind it nobody can read any more
            self._done.add(name_of(path))
            return b""
        return block[: block.rfind(b"\n") + 1]

    def _keep(self, positions: dict[str, int]) -> None:
        path = self.directory / _POSITIONS_FILE
        try:
            _write(path, orjson.dumps({"positions": positions}))
        except OSError as error:
            raise _failure(self.directory, error) from error
        self.positions = positions


def _batch(segment: str, start: int, block: bytes) -> Batch:
    tally, records, end, lines = Tally(), list[Line](), start, 0
    for text in block[:-1].split(b"\n"):
        end, lines = end + len(text) + 1, lines + 1
        record = parsed(text + b"\n")
        if record is not None:
            records.append(Line(_id_of(record, text), text, end))
            _add(tally, record)
    touched = tuple((quarter, names) for quarter, names, _ in tally.rows())
    return Batch(segment=segment, start=start, end=end, lines=lines, records=tuple(records), touched=touched)


def _id_of(record: Record, text: bytes) -> str:
    """Return what tells a record from all others: the request's id, or its hash where it is of no request."""
    request_id = record.get("request_id")
    if isinstance(request_id, str) and request_id:
        return request_id
    link = link_of(text + b"\n")
    return "" if link is None else link.chain.decode()


def _add(tally: Tally, record: Record) -> None:
    """Add a record as the totals do: they pass over what is no record of an exchange."""
    if not is_action(record):
        try:
            tally.add(record)
        except (ValueError, TypeError, KeyError, AttributeError):
            return


def source_of(directory: Path) -> str:
    """Return the id of the journal in a directory, made now if there is none; raises ``JournalError``."""
    path = directory / _SOURCE_FILE
    try:
        if not path.exists():
            _make_source(path)
        return path.read_text("ascii").strip()
    except OSError as error:
        raise _failure(directory, error) from error


def _make_source(path: Path) -> None:
    made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    _write(made, secrets.token_hex(8).encode())
    try:
        os.link(made, path)  # of two who make one at once one is the first
    except FileExistsError:
        pass
    finally:
        made.unlink()


def _positions_of(directory: Path) -> dict[str, int]:
    try:
        said: Any = orjson.loads((directory / _POSITIONS_FILE).read_bytes())
        return {str(name): int(at) for name, at in said["positions"].items()}
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # the centre knows what it has


def _write(path: Path, content: bytes) -> None:
    """Put a file in the place of the one before, whole or not at all, also when the machine dies."""
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _failure(directory: Path, error: OSError) -> JournalError:
    return JournalError(f"journal in {directory}: {error.strerror or error}")
