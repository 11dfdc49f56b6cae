"""Forces what the journal has written to the disk, away from the loop.

For the writer. Knows nothing of lines: it gets descriptors and is told that there is something new.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from aiogate.journal.segment import fdatasync

__all__ = ["DiskSync"]

_LOG: Final = logging.getLogger("aiogate.journal")


@attrs.define(eq=False)
class DiskSync:
    """A thread that calls ``fdatasync`` at most every ``seconds``, and only when something was written.

    It works on duplicates of the descriptors, so that the writer may close its own at any time.

    Args:
        directory: where the files are; forced as well when one was added, or its name might be lost.
        failed: called from the thread when the disk refuses.
        seconds: how long a record may stay in the kernel's memory alone.
        dirty: something was written since the last round; the writer sets it.
        monotonic: tells the time.
        safe_at: what was written by then is on the disk.
    """

    directory: Path
    failed: Callable[[], None]
    seconds: float = 1.0
    monotonic: Callable[[], float] = time.monotonic
    dirty: bool = attrs.field(default=False, init=False)
    safe_at: float = attrs.field(default=0.0, init=False)
    _fds: deque[int] = attrs.field(factory=deque, init=False)
    _added: bool = attrs.field(default=False, init=False)
    _stopping: threading.Event = attrs.field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Start the thread."""
        self.safe_at = self.monotonic()
        self._thread = threading.Thread(target=self._run, name="aiogate-journal-sync", daemon=True)
        self._thread.start()

    def add(self, fd: int) -> None:
        """Take care of a new file from now on; the one before gets no more lines."""
        self._fds.append(os.dup(fd))
        self._added = self.dirty = True

    def stop(self) -> None:
        """Force what is left, and end the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self.seconds):
            self._round()
        self._round()
        while self._fds:
            os.close(self._fds.popleft())

    def _round(self) -> None:
        now = self.monotonic()
        if not self.dirty:
            self.safe_at = now
            return
        self.dirty = False
        try:
            self._force()
            self.safe_at = now
        except OSError as error:
            self.dirty = True
            _LOG.error("records in %s are not safe on the disk: %s", self.directory, error)
            self.failed()

    def _force(self) -> None:
        if self._added:
            self._added = False
            force_names(self.directory)
        while len(self._fds) > 1:
            fdatasync(self._fds[0])
            os.close(self._fds.popleft())
        fdatasync(self._fds[0])


def force_names(directory: Path) -> None:
    """Force the directory itself to the disk: which files there are."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
