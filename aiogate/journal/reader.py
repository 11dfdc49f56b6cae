"""Reads the journal's segments as one journal, forwards: all of it, or what is new.

For the totals, the reports and ``aiogate journal``. Knows nothing of who writes them or whether they run just now.
"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from aiogate.journal.action import is_action
from aiogate.journal.record import timestamp
from aiogate.journal.sealed import DamagedError, length, open_segment
from aiogate.journal.segment import SEALED_SUFFIX, modified, name_of, opened, segments

__all__ = ["Positions", "Record", "Torn", "ends", "follow", "parsed", "parsed_text", "records", "unread"]

Record = dict[str, Any]
Positions = dict[str, int]
"""How far a reader has come: bytes of whole lines, by the segment's name (without ``.gz``)."""

_LAST_LINE_BYTES: Final = 64 * 1024
_CLOCK_SLACK_SECONDS: Final = 60.0
_TOLD_LINES: Final = 1000


@attrs.frozen(kw_only=True)
class Torn:
    """A line that is no record: what a process or a machine left behind when it died in the middle of writing.

    ``offset`` is where it begins in the segment, ``size`` its length, both in bytes; 0: the rest is damaged.
    """

    path: Path
    offset: int
    size: int

    def __str__(self) -> str:
        """Return one sentence for a person."""
        if not self.size:
            return f"{self.path}: damaged behind byte {self.offset}; the rest of it is skipped"
        return f"{self.path}: skipped a torn record of {self.size} bytes at byte {self.offset}"


def _unreported(_torn: Torn) -> None:
    """Take no note of it."""


def records(
    directory: Path,
    since: datetime | None = None,
    torn: Callable[[Torn], None] = _unreported,
    *,
    actions: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Record]:
    """Yield the records of all segments: of each in the order of its lines, of those written side by side by time.

    ``since`` leaves out the exchanges that started earlier; segments that have none later are not read. What is torn
    is passed over and reported to ``torn``; ``actions``: what operators have done is yielded too. ``progress`` is told
    now and then how many bytes are done, and of how many.
    """
    earliest = "" if since is None else timestamp(since.timestamp())

    def of(path: Path) -> Iterator[Record]:
        for offset, line in _lines(path, 0):
            if told is not None:
                told.passed(len(line))
            record = parsed(line)
            if record is None:
                torn(Torn(path=path, offset=offset, size=len(line)))
            elif record["time"] >= earliest and (actions or not is_action(record)):
                yield record

    paths = segments(directory)
    if since is not None:
        paths = [path for path in paths if modified(path) + _CLOCK_SLACK_SECONDS >= since.timestamp()]
    told = None if progress is None else _Told(progress, sum(map(_length, paths)))
    yield from _side_by_side(paths, of)
    if told is not None:
        told.end()


@attrs.define
class _Told:
    """Says how many bytes have passed, now and then."""

    _progress: Callable[[int, int], None]
    _whole: int
    _done: int = 0
    _lines: int = 0

    def passed(self, size: int) -> None:
        if self._lines % _TOLD_LINES == 0:
            self._progress(min(self._done, self._whole), self._whole)
        self._done += size
        self._lines += 1

    def end(self) -> None:
        self._progress(self._whole, self._whole)


def _length(path: Path) -> int:
    try:
        return length(path)
    except (FileNotFoundError, DamagedError):
        return 0


def unread(directory: Path, positions: Positions, torn: Callable[[Torn], None] = _unreported) -> Iterator[Record]:
    """Yield the records that lie behind ``positions``, and move these on: each record comes once.

    A last line without its line feed is left for the next time: it may still be on its way.
    """
    for path in segments(directory):
        name = name_of(path)
        for offset, line in _lines(path, positions.get(name, 0)):
            if not line.endswith(b"\n"):
                break
            positions[name] = offset + len(line)
            record = parsed(line)
            if record is None:
                torn(Torn(path=path, offset=offset, size=len(line)))
            else:
                yield record


def follow(
    directory: Path,
    wait: Callable[[], bool],
    positions: Positions | None = None,
    torn: Callable[[Torn], None] = _unreported,
) -> Iterator[Record]:
    """Yield records as they are written, in new segments too, from ``positions`` on; None: from now on.

    Whenever there is no more, ``wait`` is called; it returns whether to look again.
    """
    positions = ends(directory) if positions is None else positions
    yield from unread(directory, positions, torn)
    while wait():
        yield from unread(directory, positions, torn)


def ends(directory: Path) -> Positions:
    """Return the positions behind the last whole line of each segment, as it is now."""
    return {name_of(path): _end(path) for path in segments(directory)}


def parsed(line: bytes) -> Record | None:
    """Return the record on a line; None when the line is torn."""
    return parsed_text(line) if line.endswith(b"\n") else None


def parsed_text(text: bytes) -> Record | None:
    """Return the record on a line that is whole, with its line feed or without; None when it holds none."""
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("time"), str) else None


def _side_by_side(paths: list[Path], of: Callable[[Path], Iterator[Record]]) -> Iterator[Record]:
    """Yield the records of segments, the earliest at hand first; a segment is opened when its time has come."""
    heads: list[tuple[str, int, Record, Iterator[Record]]] = []
    following = [(opened(path), number, of(path)) for number, path in enumerate(paths)]
    following.reverse()

    def put(number: int, rest: Iterator[Record]) -> None:
        if (record := next(rest, None)) is not None:
            heappush(heads, (record["time"], number, record, rest))

    while following or heads:
        while following and (not heads or following[-1][0] <= heads[0][0]):
            _, number, rest = following.pop()
            put(number, rest)
        if heads:
            _, number, record, rest = heappop(heads)
            yield record
            put(number, rest)


def _lines(path: Path, position: int) -> Iterator[tuple[int, bytes]]:
    """Yield where each line begins and the line; nothing when the segment has been taken away meanwhile.

    Where a compressed one is damaged, a line of nothing stands for the rest of it.
    """
    try:
        if length(path) <= position:
            return
        file = open_segment(path, position)
        with file:
            for line in file:
                yield position, line
                position += len(line)
    except FileNotFoundError:
        return
    except DamagedError:
        yield position, b""


def _end(path: Path) -> int:
    try:
        if path.suffix == SEALED_SUFFIX:
            return length(path)  # what was torn at its end has been set aside
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - _LAST_LINE_BYTES))
            return start + file.read(size - start).rfind(b"\n") + 1
    except FileNotFoundError:
        return 0
