"""One file of the journal: its name, and how a line gets into it whole or not at all.

For the writer and the reader. Knows nothing of records, of rotation or of when the disk is forced.
"""

import errno
import os
import re
import time
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import Final, Self

import attrs

__all__ = [
    "SEALED_SUFFIX",
    "TORN_SUFFIX",
    "Segment",
    "fdatasync",
    "is_being_written",
    "is_made_by_us",
    "modified",
    "name_of",
    "opened",
    "segments",
]

SEALED_SUFFIX: Final = ".gz"
"""Behind the name of a segment that was compressed."""
TORN_SUFFIX: Final = ".torn"
"""Behind the name of a segment: the file in which its torn end was set aside."""

_SUFFIX: Final = ".jsonl"
_NAME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-\d+\.jsonl(?:\.gz)?")
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
_MODE: Final = 0o600
_DAY_MILLISECONDS: Final = 86_400_000

fdatasync: Final = getattr(os, "fdatasync", os.fsync)  # macOS has none


def segments(directory: Path) -> list[Path]:
    """Return the journal's files in the order of their names, which is the order in which they were opened.

    Of a segment that is just being compressed there may be both forms; the plain one is returned.
    """
    sealed = {name_of(path): path for path in directory.glob(f"*{_SUFFIX}{SEALED_SUFFIX}") if not path.is_dir()}
    plain = {path.name: path for path in directory.glob(f"*{_SUFFIX}") if not path.is_dir()}
    return [path for _, path in sorted((sealed | plain).items())]


def is_made_by_us(path: Path) -> bool:
    """Tell by its name whether a file is a segment of some gateway's: what else lies there is only read."""
    return _NAME.fullmatch(path.name) is not None


def opened(path: Path) -> str:
    """Return when a segment was opened as its name has it, as records have times; empty where it is none of ours."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return ""
    year, month, day, hour, minute, second, milliseconds = (match[number] for number in range(1, 8))
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}.{milliseconds}Z"


def name_of(path: Path) -> str:
    """Return a segment's name, which stays the same when it is compressed."""
    return path.name.removesuffix(SEALED_SUFFIX)


def modified(path: Path) -> float:
    """Return when a segment was written last, in seconds since 1970; 0 when it is there no more."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def is_being_written(path: Path) -> bool:
    """Tell whether some process has a segment open to write into it, or whether nobody can tell."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        flock(fd, LOCK_SH | LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


@attrs.define(eq=False, kw_only=True)
class Segment:
    """A file that this process alone writes, open at its end, and locked as long as it is.

    Args:
        path: ``YYYYMMDDTHHMMSSmmmZ-<pid>.jsonl``.
        fd: its descriptor.
        opened_milliseconds: the time in its name, since 1970.
        size: bytes that were written.
        torn: its last line is broken and could not be taken back; nothing may follow it.
        day_ends: the next midnight UTC after it was opened, in seconds since 1970.
    """

    path: Path
    fd: int
    opened_milliseconds: int
    size: int = 0
    torn: bool = False
    day_ends: float = attrs.field(init=False)

    @day_ends.default
    def _midnight(self) -> float:
        return (self.opened_milliseconds // _DAY_MILLISECONDS + 1) * _DAY_MILLISECONDS / 1000

    @classmethod
    def create(cls, directory: Path, opened_milliseconds: int) -> Self:
        """Open a new file; a name that is taken is passed over for that of the next millisecond."""
        while True:
            path = directory / _name(opened_milliseconds)
            try:
                fd = os.open(path, _FLAGS, _MODE)
            except FileExistsError:
                opened_milliseconds += 1
            else:
                with suppress(OSError):  # on a file system without locks nobody else takes care of the segment
                    flock(fd, LOCK_EX | LOCK_NB)
                return cls(path=path, fd=fd, opened_milliseconds=opened_milliseconds)

    def is_of_a_day_before(self, milliseconds: int) -> bool:
        """Tell whether midnight UTC lies between the time in its name and the given one."""
        return self.opened_milliseconds // _DAY_MILLISECONDS < milliseconds // _DAY_MILLISECONDS

    def append(self, line: bytes) -> None:
        """Write the line in one ``write(2)``; of a line that did not fit nothing stays."""
        written = os.write(self.fd, line)
        if written != len(line):
            self._take_back(written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self.size += written

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)

    def _take_back(self, written: int) -> None:
        self.torn = True
        os.ftruncate(self.fd, os.fstat(self.fd).st_size - written)
        self.torn = False


def _name(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}{rest:03}Z-{os.getpid()}{_SUFFIX}"
