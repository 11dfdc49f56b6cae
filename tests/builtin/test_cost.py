import asyncio
import logging
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from aiogate import Agent, Clock, Exchange, Observer, Usage, UsageRule
from aiogate.builtin.cost import Cost, CostConfig, PriceEntry

JSON = "application/json"
NOON = 1767268800.0  # 2026-01-01T12:00:00Z
CHAT = orjson.dumps({"model": "gpt-4o-mini-2024-07-18", "usage": {"prompt_tokens": 1000, "completion_tokens": 100}})
MEASURED = Usage(source="measured", model="gpt-4o-mini-2024-07-18", input_tokens=1000, output_tokens=100)


class NoBody:
    async def read(self, max_bytes: int) -> bytes:
        raise AssertionError(max_bytes)


def answered(
    content_type: str = JSON, status: int = 200, agent: str = "support", usage: UsageRule | None = None, **headers: str
) -> Exchange:
    """Return an exchange at the moment when the agent's head has arrived."""
    exchange = Exchange(
        id="0" * 32,
        clock=Clock(monotonic=lambda: 12.5, wall=lambda: NOON),
        method="POST",
        full_path="/agents/support/chat",
        path="/chat",
        query="",
        target="support",
        scheme="http",
        client_address="127.0.0.1",
        request_headers=CIMultiDict(),
        content_length=40,
        candidates=[],
        request_body=NoBody(),
        generation=1,
        started=0.0,
        started_wall=NOON,
        forwarded=10.0,
        agent=Agent(id=agent, url="http://127.0.0.1:1", usage=usage or UsageRule()),
        status=status,
    )
    exchange.response_headers.update(headers)
    exchange.content_type = content_type
    exchange.content_encoding = exchange.response_headers.get("Content-Encoding", "")
    return exchange


def tokens(price: int, model: str | None = None, agent: str | None = None, **others: Decimal) -> PriceEntry:
    """Return an entry whose input tokens cost ``price`` dollars a million."""
    usd = Decimal(price)
    return PriceEntry(model=model, agent=agent, input_usd_per_million=usd, output_usd_per_million=Decimal(0), **others)


def calls(usd: str, **names: str) -> PriceEntry:
    return PriceEntry(call_usd=Decimal(usd), **names)


def cost(*entries: PriceEntry, published_prices: bool = False) -> Cost:
    return Cost(CostConfig(price=entries, published_prices=published_prices))


def relay(plugin: Cost, exchange: Exchange, *chunks: bytes) -> Exchange:
    """Let the plugin observe a whole response, as the gateway does."""
    observer = plugin.response_started(exchange)
    if observer is not None:
        for chunk in (*chunks, b""):
            observer(chunk)
    return exchange


def test_a_measured_answer_is_priced() -> None:
    entry = PriceEntry(
        model="gpt-4o-mini*", input_usd_per_million=Decimal("0.15"), output_usd_per_million=Decimal("0.60")
    )
    exchange = relay(cost(entry), answered(), CHAT[:20], CHAT[20:])
    assert exchange.usage == MEASURED
    assert exchange.cost_nanousd == 1000 * 150 + 100 * 600


def test_cached_input_has_its_own_price() -> None:
    plugin = cost(tokens(4, model="m", cached_input_usd_per_million=Decimal(1)))
    figures = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 6}}
    exchange = relay(plugin, answered(), orjson.dumps({"model": "m", "usage": figures}))
    assert exchange.cost_nanousd == (4 * 4 + 6 * 1) * 1000


def test_a_stream_is_measured_and_priced() -> None:
    stream = b"data: {}\n\ndata: " + CHAT + b"\n\ndata: [DONE]\n\n"
    exchange = relay(cost(tokens(1, agent="support")), answered("text/event-stream"), stream[:30], stream[30:])
    assert exchange.usage == MEASURED
    assert exchange.cost_nanousd == 1000 * 1000


def test_nothing_is_settled_before_the_response_has_ended() -> None:
    exchange = answered()
    observer = cost(tokens(1, agent="support")).response_started(exchange)
    assert observer is not None
    observer(CHAT)
    assert exchange.usage == Usage()
    assert exchange.cost_nanousd is None


def test_without_a_price_the_cost_is_unknown_and_the_usage_measured() -> None:
    exchange = relay(cost(tokens(1, model="other")), answered(), CHAT)
    assert exchange.usage == MEASURED
    assert exchange.cost_nanousd is None


def test_priced_tokens_that_were_not_said_are_estimated_and_marked_so() -> None:
    plugin = cost(tokens(1, agent="support", call_usd=Decimal(1)))
    exchange = relay(plugin, answered(), b'{"content":"12345"}')
    assert exchange.usage == Usage(source="estimated", input_tokens=10, output_tokens=2)
    assert exchange.cost_nanousd == 10_000 + 10**9


def test_a_price_for_all_models_is_no_reason_to_estimate_an_agent_that_names_none() -> None:
    exchange = relay(cost(tokens(1, model="*")), answered(), b'{"content":"12345"}')
    assert (exchange.usage, exchange.cost_nanousd) == (Usage(), None)


def test_an_answer_that_names_a_model_that_has_a_price_is_estimated() -> None:
    exchange = relay(cost(tokens(1, model="m-1")), answered(), b'{"model":"m-1","content":"12345"}')
    assert exchange.usage == Usage(source="estimated", model="m-1", input_tokens=10, output_tokens=2)
    assert exchange.cost_nanousd == 10_000


def test_a_stream_that_is_cut_before_its_usage_is_charged_for_what_came() -> None:
    event = b'data: {"model":"m-1","choices":[{"delta":{"content":"12345678"}}],"usage":null}\n\n'
    exchange = relay(cost(tokens(1, model="m-1")), answered("text/event-stream"), event * 3, event[:20])
    assert exchange.usage == Usage(source="estimated", model="m-1", input_tokens=10, output_tokens=6)
    assert exchange.cost_nanousd == 10_000


@pytest.mark.parametrize("content_type", [JSON, "text/plain"])
def test_an_agent_that_is_to_be_estimated_is_without_a_price_too(content_type: str) -> None:
    exchange = relay(cost(), answered(content_type, usage=UsageRule(kind="estimate")), b'["12345"]')
    assert exchange.usage == Usage(source="estimated", input_tokens=10, output_tokens=3)
    assert exchange.cost_nanousd is None


def test_an_answer_of_any_type_is_estimated_where_its_agent_has_token_prices() -> None:
    exchange = relay(cost(tokens(1, agent="support")), answered("text/plain"), b"12345678")
    assert exchange.usage == Usage(source="estimated", input_tokens=10, output_tokens=2)


def test_a_price_per_call_goes_before_an_estimate() -> None:
    plugin = cost(calls("0.02", agent="support"), tokens(1, model="m-1"))
    assert relay(plugin, answered(), b'{"model":"m-1"}').usage == Usage(source="flat")


def test_what_is_measured_is_not_estimated() -> None:
    exchange = relay(cost(), answered(usage=UsageRule(kind="estimate")), CHAT)
    assert exchange.usage == MEASURED


def test_a_question_that_is_no_post_is_not_estimated() -> None:
    exchange = answered()
    exchange.method = "GET"
    assert relay(cost(tokens(1, agent="support")), exchange, b"[]").usage == Usage()


@pytest.mark.parametrize("content_type", ["text/event-stream; charset=utf-8", "application/x-ndjson"])
def test_a_stream_is_estimated_whatever_the_question_was(content_type: str) -> None:
    """Or a GET of a stream that is cut before its usage would be free, again and again."""
    exchange = answered(content_type)
    exchange.method = "GET"
    relay(cost(tokens(1, agent="support")), exchange, b'data: {"content":"12345678"}\n\n')
    assert (exchange.usage.source, exchange.cost_nanousd) == ("estimated", 10_000)


@pytest.mark.parametrize("status", [204, 304, 400, 404, 429])
def test_an_answer_without_an_answer_is_not_estimated(status: int) -> None:
    exchange = relay(cost(tokens(1, agent="support")), answered(status=status), b"[]")
    assert (exchange.usage, exchange.cost_nanousd) == (Usage(), None)


def test_a_contradiction_is_not_estimated_away() -> None:
    said = b'{"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":3}}'
    exchange = relay(cost(tokens(1, agent="support")), answered(usage=UsageRule(kind="estimate")), said)
    assert (exchange.usage, exchange.cost_nanousd) == (Usage(), None)


DECLARED = {"X-Usage-Input-Tokens": "7", "X-Usage-Output-Tokens": "8", "X-Usage-Model": "house-1"}


def test_what_an_agent_declares_is_priced() -> None:
    exchange = relay(cost(tokens(1, model="house-1")), answered(usage=UsageRule(kind="declared"), **DECLARED), CHAT)
    assert exchange.usage == Usage(source="declared", model="house-1", input_tokens=7, output_tokens=8)
    assert exchange.cost_nanousd == 7000


def test_a_declared_cost_needs_no_price() -> None:
    headers = DECLARED | {"X-Usage-Cost-Usd": "0.005"}
    exchange = relay(cost(tokens(1, model="*")), answered(usage=UsageRule(kind="declared"), **headers), CHAT)
    assert (exchange.usage.source, exchange.cost_nanousd) == ("declared", 5_000_000)


def test_only_agents_that_are_trusted_to_may_declare() -> None:
    assert relay(cost(), answered(**DECLARED), CHAT).usage == MEASURED


def test_an_agent_that_may_declare_and_does_not_is_measured() -> None:
    assert relay(cost(), answered(usage=UsageRule(kind="declared")), CHAT).usage == MEASURED


def test_what_is_declared_and_cannot_be_true_is_unknown() -> None:
    headers = {"X-Usage-Input-Tokens": "-7"}
    exchange = relay(cost(tokens(1, agent="support")), answered(usage=UsageRule(kind="declared"), **headers), CHAT)
    assert (exchange.usage, exchange.cost_nanousd) == (Usage(), None)


@pytest.mark.parametrize("content_type", [JSON, "text/plain", "text/event-stream"])
def test_a_price_per_second_counts_from_the_request_to_the_end(content_type: str) -> None:
    exchange = relay(cost(PriceEntry(agent="support", second_usd=Decimal("0.1"))), answered(content_type), b"hello")
    assert exchange.usage == Usage(source="flat")
    assert exchange.cost_nanousd == 250_000_000


def test_a_price_per_second_adds_to_tokens() -> None:
    plugin = cost(tokens(1, agent="support", second_usd=Decimal("0.1")))
    assert relay(plugin, answered(), CHAT).cost_nanousd == 1000 * 1000 + 250_000_000


def dated(price: int, from_: date | None) -> PriceEntry:
    usd = Decimal(price)
    return PriceEntry(model="gpt*", from_=from_, input_usd_per_million=usd, output_usd_per_million=Decimal(0))


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize(
    "wall, price", [(NOON - 43_201, 1), (NOON - 43_200, 2), (NOON, 2), (NOON + 43_199, 2), (NOON + 43_200, 3)]
)
def test_the_newest_price_that_is_in_force_when_an_exchange_begins_counts(wall: float, price: int, step: int) -> None:
    entries = (dated(1, None), dated(2, date(2026, 1, 1)), dated(3, date(2026, 1, 2)))
    plugin = cost(*entries[::step])
    relay(plugin, answered(), CHAT)  # whose price is kept
    exchange = answered()
    exchange.started_wall = wall
    assert relay(plugin, exchange, CHAT).cost_nanousd == price * 1000 * 1000


def test_a_price_that_is_not_in_force_yet_is_none() -> None:
    assert relay(cost(dated(1, date(2027, 1, 1))), answered(), CHAT).cost_nanousd is None


def test_a_model_without_a_price_of_its_own_has_its_list_price() -> None:
    exchange = relay(cost(tokens(1, model="other"), published_prices=True), answered(), CHAT)
    assert exchange.cost_nanousd == 1000 * 150 + 100 * 600


def test_a_price_of_ones_own_goes_before_the_list_price() -> None:
    exchange = relay(cost(tokens(1, model="gpt-4o-mini*"), published_prices=True), answered(), CHAT)
    assert exchange.cost_nanousd == 1000 * 1000


def test_output_of_a_model_whose_list_price_knows_none_is_unpriced() -> None:
    said = {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 10, "completion_tokens": 1}}
    assert relay(cost(published_prices=True), answered(), orjson.dumps(said)).cost_nanousd is None
    del said["usage"]["completion_tokens"]  # type: ignore[attr-defined]
    assert relay(cost(published_prices=True), answered(), orjson.dumps(said)).cost_nanousd == 200


def test_prices_of_ever_new_models_are_not_kept_without_end() -> None:
    plugin = cost(tokens(1, model="*"))
    for number in range(3000):
        said = {"model": f"m-{number}", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
        assert relay(plugin, answered(), orjson.dumps(said)).cost_nanousd == 1000
    assert len(plugin._prices) <= 1024


@pytest.mark.parametrize("seconds, loaded", [(0.0, True), (60.0, False)])
async def test_list_prices_are_loaded_beside_the_loop_when_the_gateway_has_started(
    seconds: float, loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiogate.builtin.cost._AFTER_START_SECONDS", seconds)
    plugin = cost(published_prices=True)
    lifespan = plugin.lifespan(None)  # type: ignore[arg-type]
    assert lifespan is not None
    assert plugin._published is not None
    async with lifespan:
        assert plugin._published._providers is None
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the timer has rung, where it is to
    assert bool(plugin._published._providers) is loaded
    assert cost().lifespan(None) is None  # type: ignore[arg-type]


def test_what_is_free_costs_nothing_and_is_known_to() -> None:
    assert relay(cost(tokens(0, agent="support")), answered(), CHAT).cost_nanousd == 0


BY_SPECIFICITY = (
    tokens(1, model="gpt-4o-mini-2024-07-18", agent="support"),
    tokens(2, model="gpt-4o-mini-2024-07-18*", agent="support"),
    tokens(3, model="gpt*", agent="support"),
    tokens(4, model="gpt-4o-mini-2024-07-18"),
    tokens(5, model="gpt-4o-mini-2024-07-18*"),
    tokens(6, model="gpt*"),
    tokens(7, model="*"),
    tokens(8, agent="support"),
)


@pytest.mark.parametrize("first", range(len(BY_SPECIFICITY)))
@pytest.mark.parametrize("step", [1, -1])
def test_the_most_specific_price_counts_wherever_it_stands(first: int, step: int) -> None:
    exchange = relay(cost(*BY_SPECIFICITY[first:][::step]), answered(), CHAT)
    assert exchange.cost_nanousd == (first + 1) * 1000 * 1000


@pytest.mark.parametrize(
    "entry", [tokens(1, model="gpt-4o-mini"), tokens(1, model="GPT*"), tokens(1, model="gpt*", agent="analytics")]
)
def test_a_price_of_others_does_not_count(entry: PriceEntry) -> None:
    assert relay(cost(entry), answered(), CHAT).cost_nanousd is None


@pytest.mark.parametrize("content_type", ["text/plain", JSON, "text/event-stream"])
def test_an_agent_with_a_price_per_call_costs_it_where_nothing_was_measured(content_type: str) -> None:
    exchange = relay(cost(calls("0.02", agent="support")), answered(content_type), b"hello")
    assert exchange.usage == Usage(source="flat")
    assert exchange.cost_nanousd == 20_000_000


def test_a_price_per_call_leaves_a_measured_usage_as_it_is() -> None:
    exchange = relay(cost(calls("0.02", agent="support")), answered(), CHAT)
    assert exchange.usage == MEASURED
    assert exchange.cost_nanousd == 20_000_000


def test_a_call_that_the_agent_refuses_was_answered() -> None:
    assert relay(cost(calls("0.02", agent="support")), answered(status=404), b"{}").cost_nanousd == 20_000_000


@pytest.mark.parametrize("status", [500, 503])
def test_a_call_that_fails_costs_nothing(status: int) -> None:
    exchange = relay(cost(calls("0.02", agent="support")), answered(status=status), CHAT)
    assert exchange.usage == Usage()
    assert exchange.cost_nanousd is None


@pytest.mark.parametrize(
    "exchange",
    [answered("text/html"), answered(status=204), answered(status=502), answered(**{"Content-Encoding": "zstd"})],
)
def test_a_response_that_cannot_say_its_usage_is_not_observed(exchange: Exchange) -> None:
    assert cost(tokens(1, model="*")).response_started(exchange) is None


def test_what_another_plugin_knows_is_kept_and_priced_where_nothing_was_measured() -> None:
    declared = Usage(source="declared", model="gpt-4o", input_tokens=5)
    exchange = answered()
    exchange.usage = declared
    relay(cost(tokens(1, model="gpt*")), exchange, b"{}")
    assert exchange.usage == declared
    assert exchange.cost_nanousd == 5000


def test_an_absurd_usage_has_no_cost(caplog: pytest.LogCaptureFixture) -> None:
    said = b'{"model":"m","usage":{"prompt_tokens":-1000,"completion_tokens":1}}'
    exchange = relay(cost(tokens(1, model="*")), answered(), said)
    assert exchange.usage == Usage()
    assert exchange.cost_nanousd is None
    assert caplog.records[0].levelno == logging.WARNING


def test_the_greatest_cost_fits_64_bits() -> None:
    most = Decimal(1000)
    entry = PriceEntry(model="*", input_usd_per_million=most, output_usd_per_million=most, call_usd=most)
    said = b'{"usage":{"prompt_tokens":%d,"completion_tokens":%d}}' % (10**12, 10**12)
    exchange = relay(cost(entry), answered(), said)
    assert exchange.cost_nanousd is not None
    assert 2 * 10**18 < exchange.cost_nanousd < 2**63


def test_an_observer_is_a_plain_callable() -> None:
    observer: Observer | None = cost().response_started(answered())
    assert callable(observer)


@pytest.mark.parametrize("usd", ["-0.01", "1000.01", "NaN", "Infinity", "0.0000000001"])
@pytest.mark.parametrize("name", ["input_usd_per_million", "call_usd"])
def test_a_price_that_is_no_sensible_amount_is_refused(name: str, usd: str) -> None:
    prices = {"input_usd_per_million": Decimal(1), "output_usd_per_million": Decimal(1), name: Decimal(usd)}
    with pytest.raises(ValueError, match="expected dollars from 0 to 1000"):
        PriceEntry(model="m", **prices)


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"call_usd": Decimal(1)}, "expected a model, an agent or both"),
        ({"model": "g*t", "call_usd": Decimal(1)}, "model: expected '\\*' at the end"),
        ({"model": "m"}, "expected prices of tokens, call_usd, second_usd or several"),
        ({"model": "m", "input_usd_per_million": Decimal(1)}, "go together"),
        ({"model": "m", "cached_input_usd_per_million": Decimal(1)}, "needs input_usd_per_million"),
    ],
)
def test_an_entry_that_leaves_something_open_is_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PriceEntry(**entry)


def test_two_entries_for_the_same_names_and_day_are_refused() -> None:
    with pytest.raises(ValueError, match="two entries for agent None and model 'm'"):
        CostConfig(price=(tokens(1, model="m"), tokens(2, model="m")))
    with pytest.raises(ValueError, match="model 'gpt\\*' from 2026-01-01"):
        CostConfig(price=(dated(1, date(2026, 1, 1)), dated(2, date(2026, 1, 1))))
