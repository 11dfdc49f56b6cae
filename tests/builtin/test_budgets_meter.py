"""The meter of a stream by itself: whom it cuts, what it holds, and what it does where counters cannot be reached."""

import asyncio
from collections.abc import Sequence

import pytest

from aiogate import Claim, Exchange, Grant, Measure, Period, Refusal, Shortage, Usage
from aiogate.builtin.budgets import Budgets, BudgetsConfig, BudgetSettings
from aiogate.builtin.budgets.meter import Line, Meter
from aiogate.errors import StateError
from aiogate.exchange import Clock
from aiogate.state.memory import MemoryState
from tests.builtin.spending import EVENT, NOON, WORD
from tests.exchanges import an_agent, an_exchange

CHUNK = EVENT % WORD  # 25 tokens


class Flaky(MemoryState):
    """Counters that cannot be reached once an exchange is under way."""

    async def extend(self, grant: Grant, claims: Sequence[Claim]) -> Grant | Shortage | None:
        msg = f"grant {grant.id} cannot grow by {len(claims)} claims"
        raise StateError(msg)


async def metered(state: MemoryState, limit: int = 10_000, **facts: str) -> tuple[Meter, Exchange, str]:
    """Return the meter of a stream that holds a slice of a hundred tokens."""
    budget = BudgetSettings(name="t", period="day", tokens=limit, slice_tokens=100, **facts)  # type: ignore[arg-type]
    accounts = Budgets(BudgetsConfig(budget=(budget,)))._accounts
    account = accounts.account(budget, Measure.TOKENS, (), Period(NOON, NOON * 2))
    exchange = an_exchange(agent=an_agent(), method="POST")
    grant = await state.acquire([account.claimed(100)])
    assert isinstance(grant, Grant)
    exchange.grant = grant
    return Meter(exchange, [Line(account, 100)], Usage(), lambda _: None, state), exchange, account.claim.counter


async def stream(meter: Meter, exchange: Exchange, chunks: int) -> int:
    """Show chunks to the meter until the stream is cut, and return how many."""
    for number in range(chunks):
        if exchange.cut_by is not None:
            return number
        meter(CHUNK)
        await asyncio.sleep(0)
    return chunks


def why(exchange: Exchange) -> Refusal:
    assert exchange.cut_by is not None
    return exchange.cut_by


async def test_a_stream_that_has_what_it_needs_is_let_be() -> None:
    state = MemoryState(Clock())
    meter, exchange, counter = await metered(state)
    assert await stream(meter, exchange, 200) == 200
    [(spent, held)] = await state.standings([counter])
    assert spent == 0
    assert 5000 <= held <= 5200


async def test_what_is_held_is_never_passed_before_the_cut() -> None:
    meter, exchange, _ = await metered(MemoryState(Clock()), limit=1000)
    assert 36 <= await stream(meter, exchange, 200) <= 40
    assert (why(exchange).code, why(exchange).rule) == ("budget_exhausted", "t")


async def test_a_stream_whose_counters_cannot_be_reached_is_cut_where_what_it_holds_ends() -> None:
    meter, exchange, _ = await metered(Flaky(Clock()))
    assert await stream(meter, exchange, 200) <= 4
    assert why(exchange).code == "state_unavailable"


async def test_a_stream_that_may_finish_is_not_cut() -> None:
    for state in (MemoryState(Clock()), Flaky(Clock())):
        meter, exchange, _ = await metered(state, limit=1000, on_exhausted="finish")
        assert await stream(meter, exchange, 200) == 200


async def test_a_stream_without_a_price_is_not_metered_in_money() -> None:
    budget = BudgetSettings(name="m", period="day", usd=1, slice_usd=1)  # type: ignore[arg-type]
    accounts = Budgets(BudgetsConfig(budget=(budget,)))._accounts
    account = accounts.account(budget, Measure.NANOUSD, (), Period(NOON, NOON * 2))
    state, exchange = MemoryState(Clock()), an_exchange(agent=an_agent())
    grant = await state.acquire([account.claimed(10**9)])
    assert isinstance(grant, Grant)
    exchange.grant = grant
    meter = Meter(exchange, [Line(account, 10**9)], Usage(), lambda _: None, state)
    assert await stream(meter, exchange, 500) == 500


@pytest.mark.parametrize("size", [1, 7, 64 * 1024])
async def test_chunks_may_be_cut_anywhere(size: int) -> None:
    meter, exchange, _ = await metered(MemoryState(Clock()), limit=1000)
    whole = CHUNK * 60
    shown = 0
    while shown < len(whole) and exchange.cut_by is None:
        meter(whole[shown : shown + size])
        shown += size
        await asyncio.sleep(0)
    tokens = min(shown, len(whole)) / len(CHUNK) * 25
    assert exchange.cut_by is not None or size > len(whole)
    assert tokens > 850
