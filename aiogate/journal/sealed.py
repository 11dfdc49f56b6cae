"""A segment in either form, plain or compressed after its end: opened, measured, compressed.

For the readers and the keeper. Knows nothing of records; a position is always one in the plain text.
"""

import gzip
import os
import shutil
from pathlib import Path
from typing import IO, Final, cast

from aiogate.journal.segment import SEALED_SUFFIX, name_of

__all__ = ["found", "length", "open_segment", "seal"]

_LEVEL: Final = 6
_LENGTH_BYTES: Final = 4
_BLOCK_BYTES: Final = 1024 * 1024
_UNDER_WAY: Final = ".part"


def found(path: Path) -> Path:
    """Return where a segment is now, which may have been compressed since its path was learnt."""
    plain = path.with_name(name_of(path))
    sealed = path.with_name(plain.name + SEALED_SUFFIX)
    return sealed if not plain.exists() and sealed.exists() else plain


def open_segment(path: Path, position: int = 0) -> IO[bytes]:
    """Open a segment at a position; raises ``FileNotFoundError`` when it is there in neither form."""
    for _ in range(2):  # between the look and the opening it may have been compressed
        now = found(path)
        try:
            file = cast("IO[bytes]", gzip.GzipFile(now)) if now.suffix == SEALED_SUFFIX else now.open("rb")
        except FileNotFoundError:
            continue
        file.seek(position)
        return file
    raise FileNotFoundError(path)


def length(path: Path) -> int:
    """Return how many bytes a segment has in plain text; 0 when it is there no more."""
    now = found(path)
    try:
        if now.suffix != SEALED_SUFFIX:
            return now.stat().st_size
        with now.open("rb") as file:
            file.seek(-_LENGTH_BYTES, os.SEEK_END)
            return int.from_bytes(file.read(_LENGTH_BYTES), "little")  # RFC 1952: ISIZE
    except FileNotFoundError:
        return 0


def seal(path: Path) -> Path:
    """Put a plain segment's compressed form in its place and return it; at no time there is none of both.

    The time of its last change stays: readers go by it.
    """
    target = path.with_name(path.name + SEALED_SUFFIX)
    under_way = target.with_name(target.name + _UNDER_WAY)
    try:
        _compress(path, under_way)
    except OSError:  # of a disk that is full half of it must not be kept
        under_way.unlink(missing_ok=True)
        raise
    was = path.stat()
    os.utime(under_way, ns=(was.st_atime_ns, was.st_mtime_ns))
    under_way.replace(target)
    path.unlink()
    return target


def _compress(path: Path, under_way: Path) -> None:
    fd = os.open(under_way, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with path.open("rb") as plain, os.fdopen(fd, "wb") as raw:
        with gzip.GzipFile(path.name, "wb", _LEVEL, raw) as compressed:
            shutil.copyfileobj(plain, compressed, _BLOCK_BYTES)
        raw.flush()
        os.fsync(raw.fileno())
