"""Appends records to the journal, for the gateway.

Knows nothing of exchanges: it gets lines that are already encoded, and chains them. ``fsync`` says what survives the
machine; what survives the process is not a matter of policy, for each line is handed to the kernel before ``append``
returns.
"""

import logging
import math
from typing import Final

import attrs

from aiogate.errors import JournalError
from aiogate.exchange import Clock
from aiogate.journal.added import Added
from aiogate.journal.chain import LINK_BYTES, Chain
from aiogate.journal.disk_sync import DiskSync, force_names
from aiogate.journal.ledger import Ledger
from aiogate.journal.segment import Segment, fdatasync
from aiogate.settings.model import JournalSettings

__all__ = ["Journal"]

_LOG: Final = logging.getLogger("aiogate.journal")
_DIRECTORY_MODE: Final = 0o700
_COMPLAIN_SECONDS: Final = 10.0


@attrs.define(eq=False)
class Journal:
    """The journal of one process, which alone writes into its segments.

    A new segment is opened when the current one would pass ``segment_bytes``, when the UTC day changes, and after a
    line that could be neither written nor taken back. A segment may be moved away by hand: what is appended until
    the next one is opened goes with it.

    ``fsync`` is ``every second`` (in a thread; a machine that dies loses the last second), ``every record`` (the loop
    waits for the disk each time: slow) or ``never`` (the kernel decides).

    Args:
        settings: the config's ``[journal]``.
        clock: names the segments and tells the days apart.
        healthy: the last thing that was tried has worked; the next line that gets through makes it true again.
        ledger: sums of what was appended, for the keeper.
        failures: how often something could not be written; ``lost`` records of those for whom that was allowed.
    """

    _settings: JournalSettings
    _clock: Clock
    healthy: bool = attrs.field(default=False, init=False)
    ledger: Ledger = attrs.field(factory=Ledger, init=False)
    _segment: Segment | None = attrs.field(default=None, init=False)
    _sync: DiskSync | None = attrs.field(default=None, init=False)
    _chain: Chain = attrs.field(factory=Chain, init=False)
    _opened: bool = attrs.field(default=False, init=False)
    _allows: bool = attrs.field(init=False)
    failures: int = attrs.field(default=0, init=False)
    lost: int = attrs.field(default=0, init=False)
    _complained: float = attrs.field(default=-math.inf, init=False)

    @_allows.default
    def _is_told_to_allow(self) -> bool:
        return self._settings.on_journal_error == "allow"

    @property
    def admits(self) -> bool:
        """Whether new exchanges may begin: records can be written, or the config does without them."""
        return self.healthy or self._allows

    @property
    def unsynced_seconds(self) -> float:
        """Since when there are records that are not forced to the disk yet, as ``fsync = "every second"`` does."""
        sync = self._sync
        return max(0.0, self._clock.monotonic() - sync.safe_at) if sync is not None and sync.dirty else 0.0

    def open(self) -> None:
        """Make the directory if need be and open the first segment; raises ``JournalError``."""
        if self._settings.fsync == "every second":
            self._sync = DiskSync(self._settings.dir, self._unsafe, monotonic=self._clock.monotonic)
        try:
            self._first_segment(self._milliseconds())
        except OSError as error:
            failure = self._failure(error)
            if not self._allows:
                raise failure from error
            _LOG.error("%s; exchanges are served without records", failure)
        if self._sync is not None:
            self._sync.start()
        self._opened = True
        self.healthy = self._segment is not None

    def append(self, line: bytes, added: Added | None = None) -> None:
        """Hand one record to the kernel; when this returns it survives the process. Raises ``JournalError``.

        Synchronous, one ``write(2)``. After an error no part of the line is in the journal, save under
        ``every record`` when the line was written and only the disk did not answer for it. Under
        ``on_journal_error = "allow"`` nothing is raised: the record is counted as lost. ``added`` is what the totals
        add of it, where that is known.
        """
        try:
            segment = self._segment
            if (
                segment is None
                or segment.torn
                or segment.size + len(line) + LINK_BYTES > self._settings.segment_bytes
                or self._clock.wall() >= segment.day_ends
            ):
                segment = self._segment_for(line)
            chain, begin = self._chain, segment.size
            segment.append(chain.linked(line))
            chain.advance()
            if self._sync is not None:
                self._sync.dirty = True
            elif self._settings.fsync == "every record":
                fdatasync(segment.fd)
            self.ledger.note(segment, begin, chain.hash, added)
        except OSError as error:
            failure = self._failure(error)
            if not self._allows:
                raise failure from error
            self._lose(failure)
            return
        self.healthy = True

    def close(self) -> None:
        """Force to the disk what the policy promises, and close; a second call does nothing."""
        if self._sync is not None:
            self._sync.stop()
            self._sync = None
        if self._segment is not None:
            self._segment.close()
            if not self._segment.size:
                self._segment.path.unlink(missing_ok=True)
            self._segment = None
        self.healthy = self._opened = False

    def _segment_for(self, line: bytes) -> Segment:
        segment, now = self._segment, self._milliseconds()
        if segment is None:
            if not self._opened:
                msg = "the journal is not open"
                raise JournalError(msg)
            return self._first_segment(now)
        full = segment.size > 0 and segment.size + len(line) + LINK_BYTES > self._settings.segment_bytes
        if full or segment.torn or segment.is_of_a_day_before(now):
            segment = self._rotate(segment, now)
        return segment

    def _first_segment(self, now: int) -> Segment:
        self._chain = Chain.continued(self._settings.dir)
        segment = self._segment = self._next_segment(now)
        return segment

    def _rotate(self, old: Segment, now: int) -> Segment:
        """Open the next segment, whose name sorts behind the old one's even when the clock was set back."""
        new = self._segment = self._next_segment(max(now, old.opened_milliseconds + 1))
        self._chain.begin_segment()
        old.close()
        return new

    def _next_segment(self, milliseconds: int) -> Segment:
        self._settings.dir.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        segment = Segment.create(self._settings.dir, milliseconds)
        try:
            self._take_care_of(segment)
        except OSError:
            segment.close()
            raise
        return segment

    def _take_care_of(self, segment: Segment) -> None:
        if self._sync is not None:
            self._sync.add(segment.fd)
        elif self._settings.fsync == "every record":
            force_names(self._settings.dir)

    def _milliseconds(self) -> int:
        return round(self._clock.wall() * 1000)

    def _unsafe(self) -> None:
        self.healthy = False

    def _lose(self, failure: JournalError) -> None:
        """Count a record that nobody will have, and say so at most once in a while."""
        self.lost += 1
        now = self._clock.monotonic()
        if now - self._complained >= _COMPLAIN_SECONDS:
            self._complained = now
            _LOG.error("%s; %d exchanges have been served without a record", failure, self.lost)

    def _failure(self, error: OSError) -> JournalError:
        self.healthy = False
        self.failures += 1
        return JournalError(f"journal in {self._settings.dir}: {error.strerror or error}")
