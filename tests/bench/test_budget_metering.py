"""What a budget costs a stream, held to its bound: microseconds of CPU per chunk, growth of what is held included.

CPU time of this process, best of several, so that neighbours on the machine do not count.
"""

import asyncio
import time
from decimal import Decimal

import pytest

from aiogate import Claim, Counted, Exchange, Grant, Measure, Observer, Period
from aiogate.builtin.budgets import Budgets, BudgetsConfig, BudgetSettings
from aiogate.builtin.budgets.meter import Line, Meter
from aiogate.builtin.cost import Cost, CostConfig, PriceEntry
from aiogate.builtin.estimates import Asked, estimate
from aiogate.exchange import Clock
from aiogate.state.memory import MemoryState
from tests.bench.test_metering import CHUNKS, STREAMS, observer
from tests.exchanges import an_agent, an_exchange

MAX_MICROSECONDS_A_CHUNK = 2.0
NOON = 1_795_780_800.0


async def metered(exchange: Exchange, measure: Measure) -> tuple[Observer, MemoryState, str]:
    """Return the meter of a stream that has what it wants, and where what it holds is counted."""
    prices = (PriceEntry(model="*", input_usd_per_million=Decimal(1), output_usd_per_million=Decimal(10)),)
    cost, state = Cost(CostConfig(price=prices, published_prices=False)), MemoryState(Clock())
    budget = BudgetSettings(name="b", period="day", usd=Decimal(500), tokens=10**9)
    accounts = Budgets(BudgetsConfig(budget=(budget,)))._accounts
    account = accounts.account(budget, measure, (), Period(0.0, NOON * 2))
    claim: Claim = account.claimed(account.slice)
    assert claim.kind is Counted.PERIOD
    grant = await state.acquire([claim])
    assert isinstance(grant, Grant)
    exchange.grant = grant
    usage = estimate(exchange, Asked(model="m-1"), 0)
    lines = [Line(account, claim.amount)]
    return Meter(exchange, lines, usage, lambda of: cost.quote("support", of, NOON), state), state, claim.counter


async def cpu_seconds(observe: Observer, chunk: bytes) -> float:
    """Return what a stream of chunks costs, with a turn of the loop after each ten, in which what is held may grow."""
    began = time.process_time()
    for _ in range(CHUNKS // 10):
        for _ in range(10):
            observe(chunk)
        await asyncio.sleep(0)
    return time.process_time() - began


def nothing(_chunk: bytes) -> None:
    """Look at a chunk as if there were no budget."""


@pytest.mark.parametrize("measure", [Measure.TOKENS, Measure.NANOUSD])
@pytest.mark.parametrize("chunk", STREAMS.values(), ids=STREAMS.keys())
async def test_a_chunk_of_a_metered_stream_costs_next_to_nothing(chunk: bytes, measure: Measure) -> None:
    costs, held = [], 0
    for _ in range(5):
        meter, state, counter = await metered(an_exchange(agent=an_agent(), method="POST"), measure)
        costs.append(await cpu_seconds(meter, chunk))
        [(_, held)] = await state.standings([counter])
    without = min([await cpu_seconds(nothing, chunk) for _ in range(5)])
    microseconds = (min(costs) - without) / CHUNKS * 1e6
    assert held > 0
    assert microseconds < MAX_MICROSECONDS_A_CHUNK, f"{microseconds:.2f} us"


async def test_budget_and_usage_reader_together_stay_within_the_bound() -> None:
    chunk, costs = STREAMS["usage in the last event"], []
    for _ in range(5):
        exchange = an_exchange(agent=an_agent(), method="POST")
        meter, _, _ = await metered(exchange, Measure.NANOUSD)
        reads = observer(exchange, "text/event-stream")

        def both(chunk: bytes, reads: Observer = reads, meter: Observer = meter) -> None:
            reads(chunk)
            meter(chunk)

        costs.append(await cpu_seconds(both, chunk))
    without = min([await cpu_seconds(nothing, chunk) for _ in range(5)])
    microseconds = (min(costs) - without) / CHUNKS * 1e6
    assert microseconds < MAX_MICROSECONDS_A_CHUNK, f"{microseconds:.2f} us"
