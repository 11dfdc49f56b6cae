"""``ClusterState``: counters spread over the slots of a Redis Cluster.

Each counter is in one of 16 parts, by its name alone, and each part in a slot of its own; the parts are spread evenly
over the slots, and so over any number of masters. A part is a ``RedisState`` with all that it promises; here they are
put together.

What a cluster cannot do is to take claims in several slots in one step:

- Claims are taken part by part, always in the same order. When a later part falls short, what the earlier ones gave is
  given back at once: a refused exchange has taken nothing, and nothing that was admitted ever passes a limit.
- What remains is a moment between taking and giving back, a round trip per part: within it another exchange may be
  refused that would have fitted. It is told to come back, and finds the place free.
- A refusal tells when the part that fell short has room again: another part may need longer.
- A part whose master is away is decided by this gateway's share, the others are shared as ever.
- While the keys of a part's slot are moved to another node its exchanges wait for that, as long as they wait for Redis.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final
from zlib import crc32

import attrs

from aiogate.claims import Claim, Grant, OnStateError, Quota, Shortage, Standing
from aiogate.errors import StateError
from aiogate.exchange import Clock
from aiogate.settings.state_url import state_address
from aiogate.state.redis.places import Nodes, Slot, slot_of
from aiogate.state.redis.state import RedisState

__all__ = ["PARTS", "ClusterState", "tag_of"]

PARTS: Final = 16
_SLOTS: Final = 16384


def tag_of(part: int) -> str:
    """Return the hash tag of a part: the first that leads into its stretch of the slots."""
    wide = _SLOTS // PARTS
    return next(tag for tag in (f"state{number}" for number in count()) if slot_of(tag) // wide == part)


@attrs.define(eq=False)
class _Taken:
    """What one part gave, and at which places of the claims."""

    part: RedisState
    places: Sequence[int]
    claims: Sequence[Claim]
    grant: Grant

    async def give_back(self) -> None:
        await self.part.settle(self.grant, dict.fromkeys((claim.name for claim in self.claims), 0))


class ClusterState:
    """Counters in a cluster. What is promised stands above, and in ``aiogate/state/redis/__init__.py``."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        prefix: str = "aiogate:",
        timeout_seconds: float = 0.25,
        on_error: OnStateError = "local",
    ) -> None:
        """Keep where to connect; raises ``ValueError`` for a URL that cannot be read."""
        nodes = Nodes(state_address(url))
        tags = [tag_of(part) for part in range(PARTS)]
        self._parts = tuple(
            RedisState(
                url,
                clock,
                prefix=prefix,
                timeout_seconds=timeout_seconds,
                on_error=on_error,
                tag=tag,
                place=Slot(nodes, slot_of(tag)),
            )
            for tag in tags
        )
        self._timeout = timeout_seconds
        self._open: dict[int, Sequence[_Taken]] = {}
        self._ids = count(1)
        self._closed = False

    def at(self, now: Callable[[], float]) -> "ClusterState":
        """Go by a test's own time, in Redis too."""
        for part in self._parts:
            part.at(now)
        return self

    @property
    def degraded(self) -> str | None:
        """Why parts of the cluster cannot be asked at present; None: all can."""
        away = [why for part in self._parts if (why := part.degraded) is not None]
        return f"{len(away)} of {PARTS} parts: {away[0]}" if away else None

    @property
    def losses(self) -> int:
        """How often parts of the cluster came back, or had lost what they knew."""
        return sum(part.losses for part in self._parts)

    @property
    def open_grants(self) -> int:
        """How many grants of this process are not settled."""
        return len(self._open)

    @property
    def gateways(self) -> int:
        """How many gateways were alive when the cluster was last asked."""
        return max(part.gateways for part in self._parts)

    @property
    def pending(self) -> int:
        """How many operations wait for being sent."""
        return sum(part.pending for part in self._parts)

    async def open(self) -> None:
        """Connect all parts; raises ``StateError`` where the cluster refuses us."""
        for refused in await asyncio.gather(*(part.open() for part in self._parts), return_exceptions=True):
            if isinstance(refused, BaseException):
                await self.close()
                raise refused

    async def acquire(self, claims: Sequence[Claim]) -> Grant | Shortage:
        """Take all claims part by part, or none of them; raises ``StateError`` where a claim wants it so."""
        if self._closed:
            msg = "the counters in Redis are closed"
            raise StateError(msg)
        deadline = asyncio.get_running_loop().time() + self._timeout
        taken: list[_Taken] = []
        try:
            for part, places in self._by_part([claim.counter for claim in claims]):
                some = [claims[place] for place in places]
                decision = await self._acquire(part, some, deadline)
                if isinstance(decision, Shortage):
                    await self._give_back(taken)
                    return _short(decision, places, taken)
                taken.append(_Taken(part, places, some, decision))
        except BaseException:
            await self._give_back(taken)
            raise
        grant_id = next(self._ids)
        self._open[grant_id] = taken
        return _whole(grant_id, taken)

    async def _acquire(self, part: RedisState, claims: Sequence[Claim], deadline: float) -> Grant | Shortage:
        """Ask a part; for all of them together an exchange waits no longer than for one Redis."""
        try:
            async with asyncio.timeout_at(deadline):
                return await part.acquire(claims)
        except TimeoutError:
            return await part.alone(claims, f"the cluster has not answered within {self._timeout:g} s")

    async def _give_back(self, taken: Sequence[_Taken]) -> None:
        for one in taken:
            await one.give_back()

    async def extend(self, grant: Grant, claims: Sequence[Claim]) -> Grant | Shortage | None:
        """Take more of periods that the grant holds; raises ``ValueError`` for a counter that it does not."""
        taken = self._open.get(grant.id)
        if taken is None:
            return None
        grants = {id(one.part): one.grant for one in taken}
        given: list[_Taken] = []
        for part, places in self._by_part([claim.counter for claim in claims]):
            its = grants.get(id(part))
            if its is None:
                msg = f"the grant holds nothing of a period's counter {claims[places[0]].counter!r}"
                raise ValueError(msg)
            some = [claims[place] for place in places]
            decision = await part.extend(its, some)
            if not isinstance(decision, Grant):
                for one in given:
                    await one.part.extend(
                        one.grant, [attrs.evolve(claim, amount=-claim.amount) for claim in one.claims]
                    )
                return decision if decision is None else _short(decision, places, given)
            given.append(_Taken(part, places, some, decision))
        return _whole(grant.id, given)

    async def settle(self, grant: Grant, actual: Mapping[str, int] | None = None) -> None:
        """Give leases back and correct the rest by claim name; sent at once, or when the part is back."""
        for one in self._open.pop(grant.id, ()):
            await one.part.settle(one.grant, actual)

    async def resume(self, claims: Sequence[Claim]) -> None:
        """Begin counters of periods at the claims' amounts, where nobody has taken from them."""
        parts = self._by_part([claim.counter for claim in claims])
        await asyncio.gather(*(part.resume([claims[place] for place in places]) for part, places in parts))

    async def make_up(self, claims: Sequence[Claim]) -> None:
        """Let counters of periods have spent the claims' amounts at least."""
        for part, places in self._by_part([claim.counter for claim in claims]):
            await part.make_up([claims[place] for place in places])

    async def standings(self, counters: Sequence[str], *, age_seconds: float | None = 0.0) -> Sequence[Standing]:
        """Return how counters of periods stand; of parts that are away, as far as that is known here."""
        parts = self._by_part(counters)
        asked = ([counters[place] for place in places] for _, places in parts)
        asking = (part.standings(some, age_seconds=age_seconds) for (part, _), some in zip(parts, asked, strict=True))
        found = await asyncio.gather(*asking)
        standings = [Standing(0, 0)] * len(counters)
        for (_, places), some in zip(parts, found, strict=True):
            for place, standing in zip(places, some, strict=True):
                standings[place] = standing
        return standings

    async def close(self) -> None:
        """Send what is pending, as far as the cluster takes it, and let go of the connections."""
        self._closed = True
        await asyncio.gather(*(part.close() for part in self._parts))
        self._open.clear()

    def _by_part(self, counters: Sequence[str]) -> list[tuple[RedisState, list[int]]]:
        """Return the parts that counters are in, in their order, each with the places of its counters."""
        places: dict[int, list[int]] = {}
        for place, counter in enumerate(counters):
            places.setdefault(crc32(counter.encode()) % PARTS, []).append(place)
        return [(self._parts[part], places[part]) for part in sorted(places)]


def _place(found: tuple[int, Quota]) -> int:
    return found[0]


def _whole(grant_id: int, taken: Sequence[_Taken]) -> Grant:
    """Return what all parts gave, in the order of the claims."""
    found = [pair for one in taken for pair in zip(one.places, one.grant.quotas, strict=True)]
    quotas = tuple(quota for _, quota in sorted(found, key=_place))
    return Grant(grant_id, quotas, any(one.grant.degraded for one in taken))


def _short(shortage: Shortage, places: Sequence[int], taken: Sequence[_Taken]) -> Shortage:
    """Return a part's shortage with the quotas of the parts that had given: as they are again now."""
    found = list(zip(places, shortage.quotas, strict=True))
    for one in taken:
        given_back = Counter[str]()
        for quota in one.grant.quotas:
            given_back[quota.claim.counter] += quota.claim.amount
        for place, quota in zip(one.places, one.grant.quotas, strict=True):
            amount = given_back[quota.claim.counter]
            held = max(0, quota.held - amount)
            found.append((place, quota._replace(remaining=quota.remaining + amount, held=held)))
    degraded = shortage.degraded or any(one.grant.degraded for one in taken)
    quotas = tuple(quota for _, quota in sorted(found, key=_place))
    return attrs.evolve(shortage, quotas=quotas, degraded=degraded)
