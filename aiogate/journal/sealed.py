"""A segment in either form, plain or compressed after its end: opened, measured, compressed.

For the readers and the keeper. Knows nothing of records; a position is always one in the plain text.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO, Final, cast

from aiogate.journal.segment import SEALED_SUFFIX, name_of

__all__ = ["DamagedError", "found", "length", "open_segment", "seal"]

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
            file = cast("IO[bytes]", _Sealed(now)) if now.suffix == SEALED_SUFFIX else now.open("rb")
        except FileNotFoundError:
            continue
        file.seek(position)
        return file
    raise FileNotFoundError(path)


DamagedError = gzip.BadGzipFile
"""What reading a compressed segment raises where its bytes are not what was written; an ``OSError``."""


class _Sealed(gzip.GzipFile):
    """A compressed segment; bytes that are damaged are a ``DamagedError``."""

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, or those before the damage."""
        with _damage():
            if size is None or size < 0:
                return super().read(size)
        parts, left = list[bytes](), size
        try:
            with _damage():
                while left and (part := self.read1(left)):
                    parts.append(part)
                    left -= len(part)
        except DamagedError:
            if not parts:
                raise
        return b"".join(parts)

    def readline(self, size: int | None = -1) -> bytes:
        """Return a line."""
        with _damage():
            return super().readline(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        with _damage():
            return super().seek(offset, whence)


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise DamagedError(str(error)) from error


def length(path: Path) -> int:
    """Return how many bytes a segment has in plain text; 0 when it is there no more."""
    now = found(path)
    try:
        if now.suffix != SEALED_SUFFIX:
            return now.stat().st_size
        with now.open("rb") as file:
            if file.seek(0, os.SEEK_END) < _LENGTH_BYTES:
                return 0
            file.seek(-_LENGTH_BYTES, os.SEEK_END)
            return int.from_bytes(file.read(_LENGTH_BYTES), "little")  # RFC 1952: ISIZE
    except FileNotFoundError:
        return 0


def seal(path: Path, pause: Callable[[], None] = lambda: None) -> Path:
    """Put a plain segment's compressed form in its place and return it; at no time there is none of both.

    The time of its last change stays: readers go by it. ``pause`` is called now and then, and may raise; then nothing
    has happened. Where another gateway is at it already, or has done it, it is left to that one.
    """
    target = path.with_name(path.name + SEALED_SUFFIX)
    under_way = target.with_name(target.name + _UNDER_WAY)
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as plain:
        flock(plain.fileno(), LOCK_EX | LOCK_NB)
        if not path.exists():
            return target
        try:
            _compress(plain, path.name, under_way, pause)
        except BaseException:  # half of it must not be kept, least of all on a disk that is full
            under_way.unlink(missing_ok=True)
            raise
        was = path.stat()
        os.utime(under_way, ns=(was.st_atime_ns, was.st_mtime_ns))
        under_way.replace(target)
        path.unlink()
    return target


def _compress(plain: IO[bytes], name: str, under_way: Path, pause: Callable[[], None]) -> None:
    fd = os.open(under_way, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as raw:
        with gzip.GzipFile(name, "wb", _LEVEL, raw) as compressed:
            while block := plain.read(_BLOCK_BYTES):
                compressed.write(block)
                pause()
        raw.flush()
        os.fsync(raw.fileno())
