import logging
from decimal import Decimal
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from aiogate import Agent, Clock, Exchange, Observer, Usage
from aiogate.builtin.cost import Cost, CostConfig, PriceEntry

JSON = "application/json"
CHAT = orjson.dumps({"model": "gpt-4o-mini-2024-07-18", "usage": {"prompt_tokens": 1000, "completion_tokens": 100}})
MEASURED = Usage(source="measured", model="gpt-4o-mini-2024-07-18", input_tokens=1000, output_tokens=100)


class NoBody:
    async def read(self, max_bytes: int) -> bytes:
        raise AssertionError(max_bytes)


def answered(content_type: str = JSON, status: int = 200, agent: str = "support", **headers: str) -> Exchange:
    """Return an exchange at the moment when the agent's head has arrived."""
    exchange = Exchange(
        id="0" * 32,
        clock=Clock(),
        method="POST",
        full_path="/agents/support/chat",
        path="/chat",
        query="",
        target="support",
        scheme="http",
        client_address="127.0.0.1",
        request_headers=CIMultiDict(),
        content_length=0,
        candidates=[],
        request_body=NoBody(),
        generation=1,
        started=0.0,
        started_wall=0.0,
        agent=Agent(id=agent, url="http://127.0.0.1:1"),
        status=status,
    )
    exchange.response_headers["content-type"] = content_type
    exchange.response_headers.update(headers)
    return exchange


def tokens(price: int, model: str | None = None, agent: str | None = None, **others: Decimal) -> PriceEntry:
    """Return an entry whose input tokens cost ``price`` dollars a million."""
    usd = Decimal(price)
    return PriceEntry(model=model, agent=agent, input_usd_per_million=usd, output_usd_per_million=Decimal(0), **others)


def calls(usd: str, **names: str) -> PriceEntry:
    return PriceEntry(call_usd=Decimal(usd), **names)


def cost(*entries: PriceEntry) -> Cost:
    return Cost(CostConfig(price=entries))


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


def test_priced_tokens_that_were_not_said_have_no_cost() -> None:
    plugin = cost(tokens(1, agent="support", call_usd=Decimal(1)))
    exchange = relay(plugin, answered(), b"{}")
    assert exchange.usage == Usage()
    assert exchange.cost_nanousd is None


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
    [answered("text/html"), answered(status=204), answered(status=502), answered(**{"Content-Encoding": "gzip"})],
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
        ({"model": "m"}, "expected prices of tokens, call_usd or both"),
        ({"model": "m", "input_usd_per_million": Decimal(1)}, "go together"),
        ({"model": "m", "cached_input_usd_per_million": Decimal(1)}, "needs input_usd_per_million"),
    ],
)
def test_an_entry_that_leaves_something_open_is_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PriceEntry(**entry)


def test_two_entries_for_the_same_names_are_refused() -> None:
    with pytest.raises(ValueError, match="two entries for agent None and model 'm'"):
        CostConfig(price=(tokens(1, model="m"), tokens(2, model="m")))
