"""``RedisState``: the State protocol by batches of operations, and by this gateway's share while Redis is away."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final

import attrs

from aiogate.claims import Claim, Counted, Grant, OnStateError, Shortage, Standing
from aiogate.errors import StateError
from aiogate.exchange import Clock
from aiogate.state.redis.batches import Batches
from aiogate.state.redis.link import DeniedError, Link
from aiogate.state.redis.operations import MICRO, Held, Operation, Row, decided, micros, rows_of
from aiogate.state.redis.places import Place, place_of
from aiogate.state.redis.scripts import source
from aiogate.state.redis.share import Share, Sight

__all__ = ["RedisState"]

_log: Final = logging.getLogger(__name__)
_BEAT_SECONDS: Final = 1.0
_LIVES_SECONDS: Final = 5.0
"""For so long a gateway that says nothing counts as one that shares the counters."""
_CLOSE_SECONDS: Final = 2.0
_ROWS: Final = 500
_AMOUNT, _ENTRY, _HELD = 4, 7, 8


class RedisState:
    """Counters in Redis. What is promised stands in ``aiogate/state/redis/__init__.py``."""

    def __init__(  # noqa: PLR0913 - each is said by its name
        self,
        url: str,
        clock: Clock,
        *,
        prefix: str = "aiogate:",
        timeout_seconds: float = 0.25,
        on_error: OnStateError = "local",
        script: str | None = None,
        tag: str = "state",
        place: Place | None = None,
    ) -> None:
        """Keep where to connect; raises ``ValueError`` for a URL that cannot be read.

        All keys have the hash tag in common; ``place`` is where they are, unless the URL says it.
        """
        keys = f"{prefix}{{{tag}}}:"
        self._clock = clock
        self._on_error: OnStateError = on_error
        link = Link(place or place_of(url, keys), script or source())
        self._batches = Batches(link, keys, timeout_seconds, clock.monotonic, self)
        self._sight = Sight(clock.monotonic)
        self._share: Share | None = None
        self.losses = 0
        self._open: dict[int, Held] = {}
        self._owed: dict[str, tuple[Row, int]] = {}
        self._ids = count(secrets.randbits(64) << 40)
        self._beat: asyncio.TimerHandle | None = None
        self._renew_seconds = _BEAT_SECONDS
        self._renew_due = 0.0
        self._closed = False

    def at(self, now: Callable[[], float]) -> "RedisState":
        """Go by a test's own time, in Redis too."""
        self._batches.now = now
        return self

    @property
    def degraded(self) -> str | None:
        """Why Redis cannot be asked at present; None: it can."""
        away = self._batches.away
        return away if away is None else away or "Redis is being tried again"

    @property
    def open_grants(self) -> int:
        """How many grants of this process are not settled."""
        return len(self._open)

    @property
    def gateways(self) -> int:
        """How many gateways were alive when Redis was last asked, a second ago at most."""
        return self._sight.living

    @property
    def pending(self) -> int:
        """How many operations wait for being sent to Redis."""
        return self._batches.pending

    async def open(self) -> None:
        """Connect; one that cannot be reached is gone without until it can. Raises ``StateError`` if it refuses us."""
        try:
            await self._batches.open()
        except StateError as error:
            if isinstance(error.__cause__, DeniedError):
                await self._batches.close(0.0)
                raise
        self._on_beat()

    async def acquire(self, claims: Sequence[Claim]) -> Grant | Shortage:
        """Take all claims, or none of them and say when they fit; raises ``StateError`` where a claim wants it so."""
        if self._closed:
            msg = "the counters in Redis are closed"
            raise StateError(msg)
        grant_id = next(self._ids)
        why = self._batches.away
        if why is None:
            rows = rows_of(claims, self._sight.spent)
            held = Held(rows, claims)
            name = f"{grant_id:x}"
            operation = Operation(
                "acquire",
                rows,
                before=(name,),
                undo=lambda number: _undone(rows, name, number),
                heard=lambda reply: self._orphaned(held, name, reply),
            )
            try:
                reply = await self._batches.ask(operation)
            except StateError as error:
                why = str(error)
            else:
                return self._decided(grant_id, held, name, reply)
        return await self._alone(grant_id, claims, why)

    async def alone(self, claims: Sequence[Claim], why: str) -> Grant | Shortage:
        """Decide as where Redis does not answer, for a caller who cannot wait for it; raises ``StateError``."""
        return await self._alone(next(self._ids), claims, why)

    async def extend(self, grant: Grant, claims: Sequence[Claim]) -> Grant | Shortage | None:
        """Take more of periods that the grant holds; raises ``ValueError`` for a counter that it does not."""
        held = self._open.get(grant.id)
        if held is None:
            return None
        claims = [claim if claim.least is None else attrs.evolve(claim, least=None) for claim in claims]
        growing = [_held_of(held, claim.counter) for claim in claims]
        rows = rows_of(claims, self._sight.spent)
        for row, has in zip(rows, growing, strict=True):
            row[_ENTRY], row[_HELD] = has[_ENTRY], has[_AMOUNT]
        try:
            reply = await self._batches.ask(Operation("extend", rows))
        except StateError as error:
            decision = await self._share_now().acquire(claims, str(error))
            if isinstance(decision, Shortage):
                return decision
            held.local.append((self._share_now(), decision))
            self._batches.tell(Operation("count", rows, at=self._clock.monotonic()))
            degraded = True
        else:
            decision = decided(reply, claims, grant.id)
            for quota in decision.quotas:
                self._sight.see(quota)
            if isinstance(decision, Shortage):
                return decision
            degraded = False
        for claim, has in zip(claims, growing, strict=True):
            has[_AMOUNT] += claim.amount
        return Grant(grant.id, decision.quotas, degraded)

    async def settle(self, grant: Grant, actual: Mapping[str, int] | None = None) -> None:
        """Give leases back and correct the rest by claim name; sent at once, or when Redis is back."""
        held = self._open.pop(grant.id, None)
        if held is None:
            return
        for claim in held.claims:
            if claim.kind is Counted.LEASE:
                self._sight.leases[claim.counter] -= claim.amount
        for share in {id(share): share for share, _ in held.local}.values():
            await share.settle([local for its, local in held.local if its is share], actual)
        self._tell_settled(held, *held.settlement(actual))

    async def resume(self, claims: Sequence[Claim]) -> None:
        """Begin counters of periods at the claims' amounts, where nobody has taken from them."""
        for first in range(0, len(claims), _ROWS):
            some = claims[first : first + _ROWS]
            rows = rows_of(some, {})
            try:
                spent = await self._batches.ask(Operation("resume", rows))
            except StateError:
                spent = [max(claim.amount, self._sight.spent.get(claim.counter, 0)) for claim in some]
                self._batches.tell(Operation("resume", rows))
            for claim, amount in zip(some, spent, strict=True):
                self._sight.see_spent(claim, amount, 0)

    async def make_up(self, claims: Sequence[Claim]) -> None:
        """Let counters of periods have spent the claims' amounts at least; sent at once, or when Redis is back."""
        self._tell_rows("see", rows_of(claims, {claim.counter: claim.amount for claim in claims}))
        for claim in claims:
            self._sight.see_spent(claim, claim.amount, self._sight.standing(claim.counter).held)

    async def standings(self, counters: Sequence[str], *, age_seconds: float | None = 0.0) -> Sequence[Standing]:
        """Return how counters of periods stand; without Redis, as far as that is known here."""
        if self._share is None and self._sight.has_seen(counters, age_seconds):
            return [self._sight.standing(counter) for counter in counters]
        try:
            reply = await self._batches.ask(Operation("standings", [[counter] for counter in counters]))
        except StateError:
            return await self._share_now().standings(counters)
        return [Standing(*reply[place : place + 2]) for place in range(0, len(reply), 2)]

    async def close(self) -> None:
        """Send what is pending, as far as Redis takes it, and let go of the connection."""
        if self._closed:
            return
        self._closed = True
        if self._beat is not None:
            self._beat.cancel()
            self._batches.tell(self._hello(0.0))
        await self._batches.close(_CLOSE_SECONDS)
        self._open.clear()

    def gone(self) -> None:
        """Begin with this gateway's share."""
        self._share = Share(self._clock, self._sight, self._on_error)

    def back(self) -> Operation:
        """Say hello; when that is answered, tell what Redis may not know."""
        hello = self._hello(_LIVES_SECONDS)
        greeted = hello.heard

        def heard(living: int) -> None:
            self._share = None
            if greeted is not None:
                greeted(living)
            self.lost()

        hello.heard = heard
        return hello

    def lost(self) -> None:
        """Tell Redis what this gateway holds, and what it knows to be spent."""
        self.losses += 1
        self._renew()
        ends = self._sight.periods
        rows = [
            [counter, "p", 0, 0, 0, micros(ends[counter]), spent, "", 0]
            for counter, spent in self._sight.spent.items()
            if counter in ends
        ]
        self._tell_rows("see", rows)
        owed, self._owed = list(self._owed.values()), {}
        for row, amount in owed:
            self._batches.tell(Operation("settle", [row], after=([amount],)))

    def dropped(self, operation: Operation) -> None:
        """Keep what periods have spent, added up, of what is too much to be kept."""
        if operation.code in {"settle", "undo"}:
            for row, amount in zip(operation.rows, operation.after[0], strict=True):
                if row[1] == "p":
                    _, owed = self._owed.get(row[0], (row, 0))
                    self._owed[row[0]] = [*row[:_ENTRY], "", 0], owed + (row[_AMOUNT] if amount < 0 else amount)

    def _decided(self, grant_id: int, held: Held, name: str, reply: Sequence[int]) -> Grant | Shortage:
        decision = decided(reply, held.claims, grant_id)
        for quota in decision.quotas:
            self._sight.see(quota)
        if isinstance(decision, Grant):
            _enter(held.rows, name, reply)
            self._hold(grant_id, held)
        return decision

    def _hold(self, grant_id: int, held: Held) -> None:
        self._open[grant_id] = held
        for claim in held.claims:
            if claim.kind is Counted.LEASE:
                self._sight.leases[claim.counter] += claim.amount
                self._renew_seconds = min(claim.seconds / 3, max(_BEAT_SECONDS, self._renew_seconds))

    async def _alone(self, grant_id: int, claims: Sequence[Claim], why: str) -> Grant | Shortage:
        """Decide without Redis, which hears of it later."""
        share = self._share_now()
        decision = await share.acquire(claims, why or "Redis is away")
        if isinstance(decision, Shortage):
            return decision
        claims = [quota.claim for quota in decision.quotas]
        held = Held(rows_of(claims, self._sight.spent), claims, [(share, decision)])
        for number, row in enumerate(held.rows, 1):
            row[_ENTRY] = f"{grant_id:x}/{number}"
        self._hold(grant_id, held)
        self._batches.tell(Operation("count", [[*row] for row in held.rows], at=self._clock.monotonic()))
        return Grant(grant_id, decision.quotas, degraded=True)

    def _share_now(self) -> Share:
        """Return this gateway's share, which is there as long as Redis is not; and for one that fell between."""
        return self._share or Share(self._clock, self._sight, self._on_error)

    def _orphaned(self, held: Held, name: str, reply: Sequence[int] | int) -> None:
        """Give back what was granted to an exchange that has gone meanwhile."""
        if isinstance(reply, list) and reply[0] == 1:
            _enter(held.rows, name, reply)
            self._tell_settled(held, held.rows, [0] * len(held.rows))

    def _tell_settled(self, held: Held, rows: Sequence[Row], amounts: Sequence[int]) -> None:
        if not rows:
            return
        periods = {claim.counter: claim for claim in held.claims if claim.period is not None}
        for row, amount in zip(rows, amounts, strict=True):
            if row[0] in periods and amount >= 0:
                self._sight.settled(row[0], amount - row[_AMOUNT])

        def heard(reply: Sequence[int] | int) -> None:
            if isinstance(reply, list):
                for row, spent, holds in zip(rows, reply[::2], reply[1::2], strict=True):
                    if row[0] in periods:
                        self._sight.see_spent(periods[row[0]], spent, holds)

        self._batches.tell(Operation("settle", rows, after=(amounts,), heard=heard if periods else None))

    def _tell_rows(self, code: str, rows: Sequence[Row]) -> None:
        for first in range(0, len(rows), _ROWS):
            self._batches.tell(Operation(code, rows[first : first + _ROWS]))

    def _hello(self, seconds: float) -> Operation:
        def heard(living: int) -> None:
            self._sight.living = max(1, living)

        return Operation("hello", (), after=(self._batches.gateway, round(seconds * MICRO)), heard=heard, lasts=False)

    def _on_beat(self) -> None:
        """Say that this gateway lives, and that the holders of its leases do."""
        loop = asyncio.get_running_loop()
        if self._batches.away is None:
            self._batches.tell(self._hello(_LIVES_SECONDS))
            if loop.time() >= self._renew_due:
                self._renew()
                self._sight.forget(self._clock.wall())
                self._renew_due = loop.time() + self._renew_seconds
        self._beat = loop.call_later(_BEAT_SECONDS, self._on_beat)

    def _renew(self) -> None:
        leases = [[*row] for held in self._open.values() for row in held.rows if row[1] == "l"]
        self._tell_rows("renew", leases)


def _enter(rows: Sequence[Row], name: str, reply: Sequence[int]) -> None:
    """Note what a grant has taken, and what its entries are called: those of windows are shared."""
    for number, row in enumerate(rows, 1):
        row[_ENTRY] = str(reply[6 * number]) if row[1] == "w" else f"{name}/{number}"
        row[_AMOUNT] = reply[6 * number - 3]


def _undone(rows: Sequence[Row], name: str, number: int) -> Operation:
    """Return what takes an acquire back, if it was done: nobody has heard."""
    taken = [[*row] for row in rows]
    for place, row in enumerate(taken, 1):
        row[_ENTRY] = "?" if row[1] == "w" else f"{name}/{place}"
    return Operation("undo", taken, after=([0] * len(taken), number))


def _held_of(held: Held, counter: str) -> Row:
    for row in held.rows:
        if row[0] == counter and row[1] == "p":
            return row
    msg = f"the grant holds nothing of a period's counter {counter!r}"
    raise ValueError(msg)
