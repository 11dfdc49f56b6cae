"""Sums of what this process has appended and nobody has folded yet, so that its own records need not be read again.

Between the writer, which adds to it on the loop, and the keeper, which takes it in a thread. The segments stay the
source of truth: sums that do not begin where the totals end are dropped, and the totals read the file.
"""

from threading import Lock
from typing import Final

import attrs

from aiogate.journal.added import Added
from aiogate.journal.segment import Segment, name_of
from aiogate.journal.tally import CALLS, COST, COUNTS, UNPRICED, Tally

__all__ = ["Ledger", "Stretch"]

_INPUT, _CACHED, _OUTPUT, _REASONING = (
    COUNTS.index(f"{name}_tokens") for name in ("input", "cached_input", "output", "reasoning")
)
_MOST_STRETCHES: Final = 64
_MOST_RECORDS: Final = 100_000
"""Of more in one stretch the sums are not kept: whoever took them before does so no more."""


@attrs.define(eq=False)
class Stretch:
    """The records between two bytes of a segment.

    Args:
        chain: hash of the last of them.
        tally: their sums; None: some of them have to be read.
        count: how many they are.
    """

    segment: Segment
    begin: int
    end: int
    chain: bytes = b""
    tally: Tally | None = attrs.field(factory=Tally)
    count: int = 0

    @property
    def name(self) -> str:
        """The segment's name."""
        return name_of(self.segment.path)


@attrs.define(eq=False)
class Ledger:
    """The stretches since somebody took them last, in their order."""

    _lock: Lock = attrs.field(factory=Lock, init=False)
    _stretches: list[Stretch] = attrs.field(factory=list, init=False)
    _last: Stretch | None = attrs.field(default=None, init=False)
    _segment: Segment | None = attrs.field(default=None, init=False)
    _taken: Stretch | None = attrs.field(default=None, init=False)
    _is_taken: bool = attrs.field(default=False, init=False)

    def note(self, segment: Segment, begin: int, chain: bytes, added: Added | None) -> None:
        """Add a record that begins there and ends where the segment does; without ``added`` it has to be read.

        Nothing is kept before somebody has taken something: of several gateways with one journal one keeps it.
        """
        self._segment = segment
        if not self._is_taken:
            return
        self._lock.acquire()  # twice as fast as ``with``
        try:
            last = self._last
            if last is None or last.segment is not segment or last.end != begin:
                last = self._last = Stretch(segment, begin, begin)
                self._stretches.append(last)
                del self._stretches[:-_MOST_STRETCHES]  # nobody takes them; what is dropped is read
            last.end, last.chain = segment.size, chain
            if added is None or last.count >= _MOST_RECORDS:
                last.tally = None
            elif (tally := last.tally) is not None:
                last.count += 1
                quarter, names, cost, unpriced, (fresh, cached, out, reasoning) = added
                sums = tally.sums_of(quarter, names)
                sums[CALLS] += 1
                if cost:
                    sums[COST] += cost
                sums[_INPUT] += fresh
                sums[_OUTPUT] += out
                if cached:
                    sums[_CACHED] += cached
                if reasoning:
                    sums[_REASONING] += reasoning
                if unpriced:
                    sums[UNPRICED] += 1
        finally:
            self._lock.release()

    def take(self) -> list[Stretch]:
        """Return what has come since the last time; the next record begins a new stretch.

        The first time that is an empty one, if there are records already: where it is has to be read until.
        """
        with self._lock:
            taken, self._stretches = self._stretches, []
            if not self._is_taken and (segment := self._segment) is not None:
                taken = [Stretch(segment, segment.size, segment.size)]
            if taken:
                self._taken = taken[-1]
            self._last = None
            self._is_taken = True
        return taken

    @property
    def end(self) -> tuple[str, int] | None:
        """The segment and the byte in it at which what was taken ends."""
        taken = self._taken
        return None if taken is None else (taken.name, taken.end)
