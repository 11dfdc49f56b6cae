"""The thread that forces the journal to the disk: only what is new, nothing left out, and no failure kept quiet."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from aiogate.journal import disk_sync
from aiogate.journal.disk_sync import DiskSync

WAIT_SECONDS = 10.0


@attrs.define
class Disk:
    """Stands in for ``fdatasync``: remembers what it was called with, and refuses as often as it is told to."""

    refusals: int = 0
    inodes: list[int] = attrs.field(factory=list)
    fds: list[int] = attrs.field(factory=list)
    forced: threading.Event = attrs.field(factory=threading.Event)

    def __call__(self, fd: int) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.fds.append(fd)
        self.inodes.append(os.fstat(fd).st_ino)
        self.forced.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(disk_sync, "fdatasync", disk)
    return disk


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Callable[[], int]]:
    fds: list[int] = []

    def opened() -> int:
        fds.append(os.open(tmp_path / f"{len(fds)}.jsonl", os.O_CREAT | os.O_WRONLY, 0o600))
        return fds[-1]

    yield opened
    for fd in fds:
        os.close(fd)


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def unexpected() -> None:
    pytest.fail("the disk did not refuse")


def test_what_is_new_is_forced_without_being_asked(disk: Disk, segment: Callable[[], int], tmp_path: Path) -> None:
    sync = DiskSync(tmp_path, unexpected, seconds=0.01)
    sync.add(segment())
    sync.start()
    assert disk.forced.wait(WAIT_SECONDS)
    disk.forced.clear()
    sync.dirty = True
    assert disk.forced.wait(WAIT_SECONDS)
    sync.stop()


def test_nothing_is_forced_when_nothing_was_written(disk: Disk, segment: Callable[[], int], tmp_path: Path) -> None:
    sync = DiskSync(tmp_path, unexpected, seconds=0.01)
    sync.add(segment())
    sync.start()
    assert disk.forced.wait(WAIT_SECONDS)
    sync.stop()
    assert len(disk.fds) == 1


def test_a_segment_that_was_left_is_forced_once_more_and_closed(
    disk: Disk, segment: Callable[[], int], tmp_path: Path
) -> None:
    sync = DiskSync(tmp_path, unexpected, seconds=WAIT_SECONDS)
    first, second = segment(), segment()
    sync.add(first)
    sync.add(second)
    sync.start()
    sync.stop()
    assert disk.inodes == [inode(first), inode(second)]
    for fd in disk.fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_the_name_of_a_new_segment_is_forced_too(
    disk: Disk, segment: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: named.append(inode(fd)))
    sync = DiskSync(tmp_path, unexpected, seconds=WAIT_SECONDS)
    sync.add(segment())
    sync.start()
    sync.stop()
    assert named == [tmp_path.stat().st_ino]
    assert disk.fds


def test_a_disk_that_refuses_is_reported_and_tried_again(
    disk: Disk, segment: Callable[[], int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk.refusals = 1
    failures: list[bool] = []
    sync = DiskSync(tmp_path, lambda: failures.append(True), seconds=0.01)
    sync.add(segment())
    sync.start()
    assert disk.forced.wait(WAIT_SECONDS)
    sync.stop()
    assert failures == [True]
    assert "not safe on the disk: [Errno 5]" in caplog.text
