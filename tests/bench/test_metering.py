"""What metering costs, held to its bounds: an absolute one per chunk of a stream, a number of calls per small answer.

CPU time of this process, best of several, so that neighbours on the machine do not count.
"""

import sys
import time
from collections.abc import Callable
from decimal import Decimal
from types import FrameType
from typing import Any

import orjson
import pytest

from aiogate import Exchange, Observer
from aiogate.builtin.cost import Cost, CostConfig, PriceEntry
from tests.exchanges import an_agent, an_exchange

CHUNKS = 10_000
MAX_MICROSECONDS_A_CHUNK = 2.0
MAX_CALLS_AN_ANSWER = 12
HEAD = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18",'
FIGURES = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
LAST = b'data: {"model":"m-1","choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % orjson.dumps(FIGURES)
ANSWER = orjson.dumps({"model": "m-1", "choices": [{"message": {"content": "x" * 400}}], "usage": FIGURES})
STREAMS = {
    "usage in the last event": HEAD + b'"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n',
    "usage null in all others": HEAD + b'"choices":[{"delta":{"content":"word"}}],"usage":null}\n\n',
    "CRLF": HEAD + b'"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\r\n\r\n',
    "a few bytes": b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
    "one byte": b"x",
}


def observer(exchange: Exchange, content_type: str) -> Observer:
    entry = PriceEntry(model="m*", input_usd_per_million=Decimal(1), output_usd_per_million=Decimal(2))
    exchange.content_type = content_type
    exchange.status = 200
    observe = Cost(CostConfig(price=(entry,), published_prices=False)).response_started(exchange)
    assert observe is not None
    return observe


def cpu_seconds(work: Callable[[], None]) -> float:
    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(once() for _ in range(5))


@pytest.mark.parametrize("chunk", STREAMS.values(), ids=STREAMS.keys())
def test_a_chunk_of_a_long_stream_costs_next_to_nothing(chunk: bytes) -> None:
    exchange = an_exchange(agent=an_agent(), method="POST")

    def metered() -> None:
        observe = observer(exchange, "text/event-stream")
        for _ in range(CHUNKS):
            observe(chunk)
        observe(b"\n\n" + LAST)
        observe(b"")

    def unmetered() -> None:
        for _ in range(CHUNKS):
            pass

    microseconds = (cpu_seconds(metered) - cpu_seconds(unmetered)) / CHUNKS * 1e6
    assert exchange.usage.input_tokens == FIGURES["prompt_tokens"]
    assert microseconds < MAX_MICROSECONDS_A_CHUNK, f"{microseconds:.2f} us"


def test_a_small_answer_is_metered_and_priced_in_a_few_calls() -> None:
    exchange = an_exchange(agent=an_agent(), method="POST")
    plugin = Cost(CostConfig(price=(PriceEntry(model="m*", call_usd=Decimal(1)),), published_prices=False))
    exchange.content_type = "application/json"
    exchange.status = 200

    def meter() -> None:
        observe = plugin.response_started(exchange)
        assert observe is not None
        observe(ANSWER)
        observe(b"")

    meter()  # prices and readers are looked up once
    calls = 0

    def count(_frame: FrameType, event: str, _what: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        meter()
    finally:
        sys.setprofile(None)
    assert exchange.usage.source == "measured"
    assert calls - 1 < MAX_CALLS_AN_ANSWER  # without this function's own
