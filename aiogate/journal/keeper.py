"""Keeps the journal while the gateway runs, in a thread of its own: totals, torn ends, compression, retention.

For the gateway. Never in the way of the writer: of the segments that somebody writes only the totals read, a little at
a time. Of several gateways that share a journal one keeps it: whoever holds the lock, until it ends.
"""

import logging
import os
import threading
from collections.abc import Callable
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

import attrs

from aiogate.errors import JournalError
from aiogate.exchange import Clock
from aiogate.journal.ledger import Ledger
from aiogate.journal.reader import Torn
from aiogate.journal.sealed import found, length, seal
from aiogate.journal.segment import (
    SEALED_SUFFIX,
    TORN_SUFFIX,
    is_being_written,
    is_made_by_us,
    modified,
    segments,
)
from aiogate.journal.totals import Totals
from aiogate.settings.model import JournalSettings

__all__ = ["Keeper", "set_aside"]

_LOG: Final = logging.getLogger("aiogate.journal")
_LOCK: Final = "keeper.lock"
_DAY_SECONDS: Final = 86400
_SLICE_BYTES: Final = 32 * 1024
_BREATH_SECONDS: Final = 0.002
"""Between two slices of the totals, which take the loop half a millisecond of the interpreter each."""
_LAST_LINE_BYTES: Final = 64 * 1024
_EMPTY_SECONDS: Final = 60.0


class _StoppedError(Exception):
    """The gateway does not wait for the totals."""


@attrs.define(eq=False)
class Keeper:
    """A thread that goes through the journal every ``seconds``.

    Args:
        settings: the config's ``[journal]``.
        clock: says which segments are too old.
        ledger: sums of what this process appends, which then need not be read; None: everything is.
    """

    _settings: JournalSettings
    _clock: Clock
    _seconds: float = 5.0
    _ledger: Ledger | None = None
    may_go: Callable[[Path], bool] = attrs.field(default=lambda _path: True, init=False)
    """Whether a segment may be removed whose time is over."""
    may_keep: Callable[[], bool] = attrs.field(default=lambda: True, init=False)
    """Whether this process knows what the keeper has to know."""
    _stopping: threading.Event = attrs.field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)
    _lock: int | None = attrs.field(default=None, init=False)
    _trouble: str = attrs.field(default="", init=False)
    _said: set[Torn] = attrs.field(factory=set, init=False)

    def start(self) -> None:
        """Start the thread; its first round comes when the gateway has settled in."""
        self._thread = threading.Thread(target=self._run, name="aiogate-journal-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, in the middle of a round if need be: what it does is done wholly or not at all."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def keeps(self) -> bool:
        """Whether it is this one that keeps the journal."""
        return self._lock is not None

    def round(self) -> None:
        """Do what there is to do, once; raises ``JournalError``."""
        directory = self._settings.dir
        ended = [path for path in segments(directory) if is_made_by_us(path) and not _is_written(path)]
        for path in ended:
            self._tidy(path)
        with Totals.of(directory, _SLICE_BYTES) as totals:
            totals.fold(self._torn, pause=self._breathe, ledger=self._ledger)
            for path in ended:
                if totals.has_all_of(path):
                    self._put_away(totals, path)

    def _run(self) -> None:
        self._try(self._begin)
        while not self._stopping.wait(self._seconds):
            self._try(self._next)

    def _begin(self) -> None:
        """Let the ledger keep the sums from the first record on, so that none of this process has to be read."""
        if self.takes_over() and self._ledger is not None:
            self._ledger.take()

    def _next(self) -> None:
        if self.keeps or self.takes_over():
            self.round()

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
            self._trouble = ""
        except _StoppedError:
            return
        except (JournalError, OSError) as error:
            self._complain(str(error))
        except Exception as error:  # noqa: BLE001 - the border of a round: a fault of ours does not end the keeping
            self._complain(repr(error))

    def takes_over(self) -> bool:
        """Become the keeper if there is none, and tell; a second one would do no harm, and no good."""
        if not self.may_keep():
            return False
        self._settings.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._settings.dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except OSError as error:
            _LOG.warning("%s: no locks here (%s): every gateway keeps the journal", self._settings.dir, error.strerror)
        self._lock = lock
        return True

    def _complain(self, trouble: str) -> None:
        """Log what is wrong, once as long as it stays the same."""
        if trouble != self._trouble:
            _LOG.error("the journal cannot be kept: %s", trouble)
            self._trouble = trouble

    def _breathe(self) -> None:
        if self._stopping.wait(_BREATH_SECONDS):
            raise _StoppedError

    def _torn(self, torn: Torn) -> None:
        """Log what is no record, once: what is damaged is met in every round."""
        if torn not in self._said:
            self._said.add(torn)
            _LOG.warning("%s", torn)

    def _tidy(self, path: Path) -> None:
        if path.suffix == SEALED_SUFFIX:
            return
        if (torn := set_aside(path)) is not None:
            aside = path.with_name(path.name + TORN_SUFFIX)
            _LOG.warning("%s: a torn record of %d bytes at byte %d; it is in %s", path, torn.size, torn.offset, aside)

    def _put_away(self, totals: Totals, path: Path) -> None:
        """Remove a segment whose time is over, compress one that has ended."""
        if found(path) != path:
            return  # another gateway has just compressed it
        now, last = self._clock.wall(), modified(path)
        days = self._settings.retention_days
        if not length(path):
            if now - last > _EMPTY_SECONDS:
                path.unlink(missing_ok=True)
        elif days is not None and now - last > days * _DAY_SECONDS and self.may_go(path):
            totals.retire(path)
            path.unlink(missing_ok=True)
            _LOG.info("%s is older than %d days and removed; the totals keep its sums", path, days)
        elif self._settings.compress and path.suffix != SEALED_SUFFIX:
            seal(path, self._breathe)


def set_aside(path: Path) -> Torn | None:
    """Move what stands behind the last whole line of a segment that has ended into a file beside it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - _LAST_LINE_BYTES))
        tail = file.read(size - start)
    feed = tail.rfind(b"\n")
    if feed == len(tail) - 1 or (feed < 0 and start):
        return None
    end, rest, times = start + feed + 1, tail[feed + 1 :], path.stat()
    with path.with_name(path.name + TORN_SUFFIX).open("ab") as aside:
        aside.write(rest)
        aside.flush()
        os.fsync(aside.fileno())
    os.truncate(path, end)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return Torn(path=path, offset=end, size=len(rest))


def _is_written(path: Path) -> bool:
    return path.suffix != SEALED_SUFFIX and is_being_written(path)
