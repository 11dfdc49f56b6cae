"""The ``cost`` plugin: finds out what each response used, and prices it.

For configs that name it; what it finds out stands in ``exchange.usage`` and ``exchange.cost_nanousd``::

    [[plugins.cost.price]]
    model = "gpt-4o-mini*"               # answers name dated models: gpt-4o-mini-2024-07-18
    from = 2026-01-01                    # until an entry with a later date takes its place
    input_usd_per_million = 0.15
    cached_input_usd_per_million = 0.075
    output_usd_per_million = 0.60

    [[plugins.cost.price]]
    agent = "support"                    # says nothing of tokens: so much a call, so much a second
    call_usd = 0.02
    second_usd = 0.001

The most specific entry counts: agent and model, agent and the start of a model, model, the longest start of a model,
agent. Where there is none, models that genai-prices knows have their list price (``published_prices = false``: they do
not). What then has no price is unpriced: usage without a cost, never 0.

Figures come, in this order: from an agent's headers where its config says ``usage = "declared"``; from the answer's
body; from a price per call or second that says nothing of tokens; from an estimate (``aiogate.usage.estimate``) where
the agent says ``usage = "estimate"``, or where a good answer came without figures, to a POST or as a stream, and there
are token prices for the agent by name or for the model that the answer names. Figures that cannot be true are unknown
and are not replaced. An answer of 500 and above costs nothing. An exchange that is counted in tokens
(``aiogate.usage.ESTIMATE``) is estimated as one of an agent with ``usage = "estimate"``. Knows neither budgets nor the
journal.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime
from functools import partial
from http import HTTPStatus
from typing import Final

import attrs
from multidict import istr

from aiogate import Agent, Exchange, Gateway, Observer, Usage, UsageRule, hookimpl
from aiogate.builtin.allocation import Allocation, shares_of
from aiogate.builtin.estimates import Means
from aiogate.builtin.price_entry import PriceEntry, closest
from aiogate.builtin.subjects import unknown_agents
from aiogate.usage import (
    ESTIMATE,
    SO_FAR,
    ByteReader,
    Price,
    PublishedPrices,
    UsageReader,
    cost_nanousd,
    declared,
    is_stream,
    readable_codings,
    reader_maker,
)

__all__ = ["Cost", "CostConfig", "PriceEntry"]

_ACCEPT_ENCODING: Final = istr("Accept-Encoding")
_FAILED_STATUS: Final = 500
_REFUSED_STATUS: Final = 400
_KEPT_PRICES: Final = 1024
_AFTER_START_SECONDS: Final = 0.5
_QUARTER_SECONDS: Final = 900.0
_RECOGNISED: Final = UsageRule()
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED)

_PriceKey = tuple[str | None, str, float]
"""Agent, model, and the quarter of an hour, at whose borders any price may change."""


@attrs.frozen(kw_only=True)
class CostConfig:
    """``[plugins.cost]``: the prices, in any order.

    Args:
        price: the entries.
        allocate: who pays, where it is not the agent's or the key's cost centre; see ``Allocation``.
        published_prices: take list prices for models that no entry is for; costs 30 MB of memory.
    """

    price: tuple[PriceEntry, ...] = attrs.field(default=())
    allocate: tuple[Allocation, ...] = ()
    published_prices: bool = True

    def check_agents(self, agents: Mapping[str, Agent]) -> Iterator[tuple[str, str]]:
        """Yield the agents that somebody pays for and that there are not."""
        for index, entry in enumerate(self.allocate):
            for problem in unknown_agents(entry.match.agent, agents):
                yield f"allocate[{index}].match.agent", problem

    @price.validator
    def _names_each_once(self, _attribute: object, entries: tuple[PriceEntry, ...]) -> None:
        seen = set()
        for entry in entries:
            names = (entry.agent, entry.model, entry.from_)
            if names in seen:
                since = f" from {entry.from_}" if entry.from_ else ""
                msg = f"two entries for agent {entry.agent!r} and model {entry.model!r}{since}"
                raise ValueError(msg)
            seen.add(names)


class Cost:
    """Measures and prices what agents answer."""

    Config = CostConfig
    enforces = frozenset({"usage"})

    def __init__(self, config: CostConfig) -> None:
        """Keep the prices."""
        self._entries = config.price
        self._allocations = config.allocate
        self._published = PublishedPrices() if config.published_prices else None
        self._prices = dict[_PriceKey, Price | None]()
        self._means: Means | None = None

    def inherit(self, previous: object) -> None:
        """Go on with what was learnt of the agents, where anybody wants to know it."""
        if isinstance(previous, Cost) and self._means is not None and previous._means is not None:  # noqa: SLF001 - of the same class
            self._means.adopt(previous._means)  # noqa: SLF001 - likewise

    def quote(self, agent_id: str, usage: Usage, wall: float) -> int | None:
        """Return what a usage would cost at an agent, its time left out; None: that has no price."""
        price = self._look_up((agent_id, usage.model or "", wall // _QUARTER_SECONDS))
        return None if price is None else cost_nanousd(usage, price)

    def means(self) -> Means:
        """Return what exchanges have used lately, which is learnt from the first call on."""
        if self._means is None:
            self._means = Means()
        return self._means

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[object] | None:
        """Load the list prices beside the loop, which need not wait for them."""
        del gateway
        return None if self._published is None else _in_a_thread(self._published.load)

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        """Leave the agent no coding that nobody here can undo: its answer would be free."""
        accepted = exchange.request_headers.get(_ACCEPT_ENCODING)
        if accepted is not None and (readable := readable_codings(accepted)) != accepted:
            exchange.request_headers[_ACCEPT_ENCODING] = readable

    @hookimpl
    def response_started(self, exchange: Exchange) -> Observer | None:
        """Observe a response that can say what it used; settle any other at once."""
        if self._allocations:
            exchange.cost_centers = shares_of(exchange, self._allocations)
        status, agent = exchange.status, exchange.agent
        if status >= _FAILED_STATUS:
            return None
        rule = _RECOGNISED if agent is None else agent.usage
        if rule.kind == "declared" and (told := declared(exchange.response_headers)) is not None:
            reader: UsageReader | None = self._declared(exchange, *told)
        else:
            make = reader_maker(exchange.content_type, exchange.content_encoding, status, rule.kind, rule.pointers)
            reader = self._mute(exchange) if make is None else make()
        if reader is None:
            return None
        if is_stream(exchange.content_type) and (so_far := getattr(reader, "so_far", None)) is not None:
            agent_id = None if agent is None else agent.id
            tell: Callable[[], tuple[int, int | None]] = partial(self._so_far, so_far, agent_id, exchange.started_wall)
            exchange[SO_FAR] = tell
        reads, feed, settle = reader, reader.feed, self._settle

        def observe(chunk: bytes) -> None:
            if chunk:
                feed(chunk)
            else:
                settle(exchange, reads)

        return observe

    def _so_far(self, so_far: Callable[[], Usage], agent_id: str | None, wall: float) -> tuple[int, int | None]:
        """Return what has come of an answer by now, for those who look at it meanwhile."""
        usage = so_far()
        return usage.tokens, None if agent_id is None else self.quote(agent_id, usage, wall)

    def _declared(self, exchange: Exchange, usage: Usage, nanousd: int | None) -> UsageReader | None:
        """Write down what the agent's headers have said; return what settles the rest at the end, if there is any."""
        exchange.usage, exchange.cost_nanousd = usage, nanousd
        return ByteReader(usage) if nanousd is None and usage.source != "unknown" else None

    def _mute(self, exchange: Exchange) -> UsageReader | None:
        """Settle a response that no dialect speaks; return what does so at its end where that has to be waited for."""
        price = self._price(exchange, exchange.usage.model)
        is_timed = price is not None and price.per_second_nanousd > 0
        if is_timed or exchange.get(ESTIMATE) is True or self._token_price(exchange, None):
            return ByteReader()
        self._settle(exchange, ByteReader())
        return None

    def _settle(self, exchange: Exchange, reader: UsageReader) -> None:
        """Write usage and cost down; what another plugin knows of the usage is kept where nothing was measured."""
        measured = reader.result()
        if measured.source != "unknown":
            exchange.usage = measured
        usage, agent = exchange.usage, exchange.agent
        key = (None if agent is None else agent.id, usage.model or "", exchange.started_wall // _QUARTER_SECONDS)
        try:
            price = self._prices[key]
        except KeyError:
            price = self._look_up(key)
        if usage.source == "unknown":
            self._settle_unsaid(exchange, reader, price)
        elif price is not None and (price.output_is_priced or not usage.output_tokens):
            exchange.cost_nanousd = cost_nanousd(usage, price, _seconds(exchange) if price.per_second_nanousd else 0.0)
        if self._means is not None and agent is not None:
            self._means.learn(agent.id, exchange.usage, exchange.cost_nanousd)

    def _settle_unsaid(self, exchange: Exchange, reader: UsageReader, price: Price | None) -> None:
        """Settle a response without figures: by the call, by an estimate, or not at all."""
        if price is not None and price.per_call_only:
            exchange.usage = Usage(source="flat")
            exchange.cost_nanousd = cost_nanousd(exchange.usage, price, _seconds(exchange))
        elif not reader.absurd and exchange.status < _REFUSED_STATUS and exchange.status not in _WITHOUT_BODY:
            self._estimate(exchange, reader)

    def _estimate(self, exchange: Exchange, reader: UsageReader) -> None:
        is_answer = exchange.method == "POST" or is_stream(exchange.content_type)
        price = self._token_price(exchange, reader.model()) if is_answer else None
        asked_for = exchange.agent is not None and exchange.agent.usage.kind == "estimate"
        asked_for = asked_for or (is_answer and exchange.get(ESTIMATE) is True)
        if price is None and not asked_for:
            return
        exchange.usage = reader.estimate(exchange.bytes_in or exchange.content_length or 0)
        if price is not None:
            exchange.cost_nanousd = cost_nanousd(exchange.usage, price, _seconds(exchange))

    def _token_price(self, exchange: Exchange, model: str | None) -> Price | None:
        """Return what tokens cost where none were said: of the model that was named, else of the agent by its name."""
        price: Price | None = None
        if model:
            price = self._price(exchange, model)
        elif exchange.agent is not None:
            agent_id = exchange.agent.id
            own = tuple(entry for entry in self._entries if entry.agent == agent_id)
            entry = closest(own, agent_id, "", _day(exchange.started_wall)) if own else None
            price = None if entry is None else entry.price()
        return None if price is None or price.per_call_only else price

    def _price(self, exchange: Exchange, model: str | None) -> Price | None:
        agent_id = None if exchange.agent is None else exchange.agent.id
        return self._look_up((agent_id, model or "", exchange.started_wall // _QUARTER_SECONDS))

    def _look_up(self, key: _PriceKey) -> Price | None:
        """Return a price, kept from the first time on; in another quarter of an hour it is looked up again."""
        if key in self._prices:
            return self._prices[key]
        agent_id, model, quarter = key
        wall = quarter * _QUARTER_SECONDS
        entry = closest(self._entries, agent_id, model, _day(wall))
        price = None if entry is None else entry.price()
        if entry is None and model and self._published is not None:
            price = self._published.price(model, wall)
        if len(self._prices) >= _KEPT_PRICES:
            self._prices.clear()
        self._prices[key] = price
        return price


def _day(wall: float) -> date:
    return datetime.fromtimestamp(wall, UTC).date()


def _seconds(exchange: Exchange) -> float:
    """Return how long the agent has been at it."""
    begun = exchange.started if exchange.forwarded is None else exchange.forwarded
    return max(0.0, exchange.clock.monotonic() - begun)


@asynccontextmanager
async def _in_a_thread(load: Callable[[], None]) -> AsyncIterator[None]:
    """Load in a thread, a moment later: what takes the interpreter for itself now would hold up the start."""
    loop, begun = asyncio.get_running_loop(), list[asyncio.Future[None]]()
    timer = loop.call_later(_AFTER_START_SECONDS, lambda: begun.append(loop.run_in_executor(None, load)))
    yield
    timer.cancel()
    await asyncio.gather(*begun)
