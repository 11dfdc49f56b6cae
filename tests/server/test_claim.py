"""What an exchange claims is taken alike, whether its counters are in this process or elsewhere."""

from types import SimpleNamespace
from typing import Any

import pytest

from aiogate import Claim, Clock, Counted, Exchange, Refusal, hookimpl
from aiogate.pipeline.run import Pipeline
from aiogate.server.claim import claimed, take_claims
from aiogate.state.memory import MemoryState
from tests.exchanges import an_exchange

WINDOW = Claim("often", "window:a", Counted.WINDOW, 2, 60.0)
LEASE = Claim("together", "lease:a", Counted.LEASE, 1, 60.0)


class Elsewhere(MemoryState):
    """Counters of which nobody knows that they are here."""


class Claims:
    def __init__(self, *claims: Claim) -> None:
        self.given = claims

    @hookimpl
    def claims(self) -> tuple[Claim, ...]:
        return self.given


def generation(*claims: Claim) -> Any:
    return SimpleNamespace(pipeline=Pipeline.of({"claims": Claims(*claims)}))


async def taken(state: MemoryState, *claims: Claim, closed: bool = False) -> list[tuple[Refusal | None, object]]:
    if closed:
        await state.close()
    found = []
    for _ in range(4):
        exchange: Exchange = an_exchange()
        refused = await take_claims(exchange, generation(*claims), state)
        quotas = [(quota.claim, quota.remaining) for quota in exchange.quotas]
        found.append((refused, (quotas, exchange.grant is None, exchange.degraded)))
    return found


@pytest.mark.parametrize("claims", [(), (WINDOW,), (LEASE,), (WINDOW, LEASE)])
@pytest.mark.parametrize("closed", [False, True])
async def test_it_is_the_same_at_once_and_later(claims: tuple[Claim, ...], closed: bool) -> None:
    clock = Clock(monotonic=lambda: 1.0, wall=lambda: 1.0)
    here, elsewhere = [await taken(made(clock), *claims, closed=closed) for made in (MemoryState, Elsewhere)]
    assert here == elsewhere
    assert bool(claims) == any(refused is not None for refused, _ in here)


def test_counters_in_this_process_are_not_waited_for() -> None:
    exchange = an_exchange()
    assert claimed(exchange, generation(WINDOW), MemoryState(Clock())) is None
    assert exchange.grant is not None
