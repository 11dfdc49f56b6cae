"""Ships the journal to the centre while the gateway runs: every record at least once, in order, from where it was.

For the gateway, where ``[state]`` is a Redis. Files are read in threads, Redis is asked by the loop; no exchange waits
for any of it. Of several processes with one journal one ships for all of them. What the centre has lost it is told
again: the sums of the last ``fleet_days`` days, and those records that it had acknowledged and does not have.
"""

import asyncio
import logging
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from aiogate.errors import JournalError, StateError
from aiogate.exchange import Clock
from aiogate.journal.backlog import Backlog, Batch
from aiogate.journal.ledger import Ledger
from aiogate.journal.tally import Key
from aiogate.journal.totals import Totals

if TYPE_CHECKING:
    from aiogate.state.redis.central import Central  # redis-py takes long to import

__all__ = ["Shipper", "Shipping"]

_log: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.5
_CHECK_SECONDS: Final = 2.0
_LAST_SECONDS: Final = 2.0
_DAY_SECONDS: Final = 86400
_BREATH_SECONDS: Final = 0.002
_HOST_CHARACTERS: Final = 64

_Row = tuple[int, Key, list[int]]


@attrs.frozen(kw_only=True)
class Shipping:
    """How shipping goes on, for operators.

    Args:
        ships: whether this process ships; of several with one journal one does.
        behind: records that the centre has not acknowledged.
        shipped: records that it has, since this process began.
        trouble: why it cannot be reached at present.
    """

    ships: bool
    behind: int
    shipped: int
    trouble: str | None


@attrs.define(eq=False)
class Shipper:
    """A task that goes on as long as the gateway does.

    Args:
        directory: the journal's.
        central: where to.
        ledger: has sums of what this process has appended, which then need not be read for the totals.
    """

    _directory: Path
    _central: "Central"
    _clock: Clock
    _ledger: Ledger | None = None
    _backlog: Backlog | None = attrs.field(default=None, init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _check_due: float = attrs.field(default=0.0, init=False)
    _shipped: int = attrs.field(default=0, init=False)
    _trouble: str | None = attrs.field(default=None, init=False)
    _stopping: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    @property
    def shipping(self) -> Shipping:
        """How it goes on."""
        backlog = self._backlog
        behind = 0 if backlog is None else backlog.behind
        return Shipping(ships=self.ships(), behind=behind, shipped=self._shipped, trouble=self._trouble)

    def ships(self) -> bool:
        """Tell whether this process ships: of several with one journal one does."""
        return self._backlog is not None

    def has_all_of(self, path: Path) -> bool:
        """Tell whether a segment was shipped to its end; a process that does not ship cannot know."""
        return self._backlog is not None and self._backlog.has_all_of(path)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(_ended)

    async def stop(self) -> None:
        """Ship what is left, as far as that takes no longer than a moment; the rest is shipped after the next start."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task})
        with suppress(StateError, JournalError, OSError, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                if self._trouble is None:
                    await self._round()
        if self._backlog is not None:
            await asyncio.to_thread(self._backlog.close)
            self._backlog = None
        await self._central.close()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._round()
            except (StateError, JournalError, OSError) as error:
                self._complain(str(error))
            except Exception as error:  # noqa: BLE001 - the border of a round: a fault of ours does not end the shipping
                self._complain(repr(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._stopping.wait()

    async def _round(self) -> None:
        """Ship all that there is by now; what comes meanwhile goes with the next round, many records at a time."""
        backlog = self._backlog
        if backlog is None:
            backlog = self._backlog = await asyncio.to_thread(Backlog.opened, self._directory)
        if backlog is None:
            return
        ends = await asyncio.to_thread(backlog.measure)
        if not self._begun or self._clock.monotonic() >= self._check_due:
            await self._begin(backlog)
        while (batch := await asyncio.to_thread(backlog.next, ends=ends)) is not None:
            await self._ship(backlog, batch)
            self._reached()
            if self._stopping.is_set() and self._task is not None and not self._task.done():
                return
        self._reached()

    async def _begin(self, backlog: Backlog) -> None:
        """Find out whether the centre knows what it has acknowledged."""
        gone = await asyncio.to_thread(backlog.forget_gone)
        known = await self._central.begin(backlog.source, _host(), gone, backlog.positions)
        if known is None:
            rows = await asyncio.to_thread(
                self._sums_since, self._clock.wall() - self._central.fleet_days * _DAY_SECONDS
            )
            await self._central.tell_sums(backlog.source, rows)
            _log.info("the centre is told what the journal in %s sums up to: %d rows", self._directory, len(rows))
        for segment, at in backlog.positions.items() if known is not None else ():
            if known is not None and known.get(segment, 0) < at:
                await self._go_back(backlog, segment, known.get(segment, 0))
        self._begun, self._check_due = True, self._clock.monotonic() + _CHECK_SECONDS

    async def _go_back(self, backlog: Backlog, segment: str, position: int) -> None:
        _log.warning(
            "the centre has lost records that it had acknowledged; %s is shipped from byte %d", segment, position
        )
        await asyncio.to_thread(backlog.go_back, segment, position)

    async def _ship(self, backlog: Backlog, batch: Batch) -> None:
        rows = await asyncio.to_thread(self._sums_of, batch)
        answer = await self._central.ship(
            backlog.source,
            _host(),
            batch.segment,
            start=batch.start,
            end=batch.end,
            records=[(line.id, line.text, line.end) for line in batch.records],
            rows=rows,
        )
        if not answer.is_known:
            await self._begin(backlog)
        elif answer.at is not None:
            await self._go_back(backlog, batch.segment, answer.at)
        else:
            await asyncio.to_thread(backlog.acknowledged, batch)
            self._shipped += batch.lines

    def _sums_of(self, batch: Batch) -> list[_Row]:
        with Totals.of(self._directory) as totals:
            if not totals.reaches(batch.segment, batch.end):
                totals.fold(pause=_breathe, ledger=self._ledger)
            return list(totals.quarters(batch.touched))

    def _sums_since(self, begin: float) -> list[_Row]:
        with Totals.of(self._directory) as totals:
            totals.fold(pause=_breathe, ledger=self._ledger)
            return list(totals.quarters_since(begin))

    def _reached(self) -> None:
        if self._trouble is not None:
            _log.warning("the journal is shipped again; it was: %s", self._trouble)
            self._trouble = None

    def _complain(self, trouble: str) -> None:
        """Log what is wrong, once as long as it goes on."""
        if self._trouble is None:
            _log.error("the journal is not shipped: %s; records wait in %s", trouble, self._directory)
        self._trouble = trouble


def _breathe() -> None:
    time.sleep(_BREATH_SECONDS)


def _host() -> str:
    return socket.gethostname()[:_HOST_CHARACTERS]


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("what ships the journal has failed", exc_info=error)
