"""Reads the journal from its end, for whoever wants the last records without the first gigabytes.

Knows nothing of what is written meanwhile: it starts at the positions that it is given.
"""

import bisect
import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from aiogate.journal.reader import Positions, Record, parsed
from aiogate.journal.record import timestamp
from aiogate.journal.sealed import DamagedError, found, open_segment
from aiogate.journal.segment import modified

__all__ = ["newest_first"]

_BLOCK_BYTES: Final = 64 * 1024

_Head = tuple[Record, Iterator[Record]]


def newest_first(directory: Path, positions: Positions) -> Iterator[Record]:
    """Yield the records before ``positions`` backwards, reading no more than is asked for.

    The segments of processes that run side by side are merged by the times of their records; a segment is opened when
    its last change is not older than the newest record at hand. What is torn is passed over.
    """
    unopened = sorted((modified(found(directory / name)), name) for name in positions)
    heads: list[_Head] = []
    while True:
        while unopened and not (heads and _time(heads[-1]) > timestamp(unopened[-1][0])):
            name = unopened.pop()[1]
            _put(heads, _backwards(directory / name, positions[name]))
        if not heads:
            return
        record, rest = heads.pop()
        yield record
        _put(heads, rest)


def _put(heads: list[_Head], rest: Iterator[Record]) -> None:
    """Keep the next record of a segment among the others, newest last."""
    record = next(rest, None)
    if record is not None:
        bisect.insort(heads, (record, rest), key=_time)


def _time(head: _Head) -> str:
    return str(head[0]["time"])


def _backwards(path: Path, end: int) -> Iterator[Record]:
    for line in _lines_backwards(path, end):
        record = parsed(line + b"\n")
        if record is not None:
            yield record


def _lines_backwards(path: Path, end: int) -> Iterator[bytes]:
    """Yield the lines before ``end``, last first and without their line feeds."""
    try:
        file = _seekable(path)
    except FileNotFoundError:
        return
    with file:
        rest = b""
        while end > 0:
            start = file.seek(max(0, end - _BLOCK_BYTES))
            rest, *lines = (file.read(end - start) + rest).split(b"\n")
            yield from reversed(lines)
            end = start
        yield rest


def _seekable(path: Path) -> IO[bytes]:
    """Open a segment such that going back in it costs nothing; a compressed one is unpacked into a temporary file."""
    file = open_segment(path)
    if not isinstance(file, gzip.GzipFile):
        return file
    with file:
        plain = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whom it is returned to
        with suppress(DamagedError):  # what stands before the damage is all there is
            shutil.copyfileobj(file, plain, _BLOCK_BYTES)
        return plain
