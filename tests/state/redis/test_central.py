"""The centre: saying something twice, late, or out of two mouths changes nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aiogate.state.redis.central import Acknowledged, Central, Row
from tests.state.redis_server import RedisServer

QUARTER = 1767225600
WHO = ("alice", "", "support", "", "", "", "m-1", "measured")


def sums(*figures: int, quarter: int = QUARTER) -> Row:
    return quarter, WHO, [*figures, *(0 for _ in range(12 - len(figures)))]


@pytest.fixture
async def central(server: RedisServer) -> AsyncIterator[Central]:
    made = Central(server.url, stream_records=100, fleet_days=32)
    yield made
    await made.close()


async def ship(central: Central, start: int, *ends: int, calls: int = 0, source: str = "j1") -> Acknowledged:
    records = [(f"r{end}", b"{}", end) for end in ends]
    rows = [sums(calls or len(ends))]
    return await central.ship(source, "host", "1.jsonl", start=start, end=ends[-1], records=records, rows=rows)


def stream(server: RedisServer) -> list[Any]:
    with server.client() as client:
        return [fields["id"] for _, fields in client.xrange("aiogate:{journal}:stream")]


async def figures(central: Central, source: str = "j1") -> list[Any]:
    return [list(figures[:4]) for _, _, figures in await central.rows(source, QUARTER, QUARTER + 900)]


async def test_a_batch_that_comes_again_is_there_once_and_so_is_what_it_has_grown_by(
    central: Central, server: RedisServer
) -> None:
    assert await ship(central, 0, 10) == Acknowledged(is_known=False)
    assert await central.begin("j1", "host", [], {}) is None
    for _ in range(2):
        assert await ship(central, 0, 10, 20) == Acknowledged(is_known=True)
    assert await ship(central, 0, 10, 20, 30, calls=3) == Acknowledged(is_known=True)
    assert stream(server) == ["r10", "r20", "r30"]
    assert await figures(central) == [[3, 0, 0, 0]]
    assert await ship(central, 40, 50) == Acknowledged(is_known=True, at=30)
    assert stream(server) == ["r10", "r20", "r30"]
    assert await central.begin("j1", "host", [], {"1.jsonl": 40}) == {"1.jsonl": 30}
    [source] = await central.sources()
    assert (source.id, source.host) == ("j1", "host")


async def test_a_sum_never_goes_down_however_large_it_is(central: Central) -> None:
    largest = 2**63 - 1
    for row in (sums(5, 0, 0, largest - 1), sums(10, 0, 0, largest), sums(9, 1, 0, 7)):
        await central.tell_sums("j1", [row])
    assert await figures(central) == [[10, 1, 0, largest]]


async def test_what_was_known_is_not_put_back_and_what_is_gone_is_forgotten(central: Central) -> None:
    assert await central.begin("j1", "host", [], {"1.jsonl": 10, "2.jsonl": 5}) is None
    assert await central.begin("j1", "host", ["1.jsonl"], {"2.jsonl": 9}) == {"1.jsonl": 10, "2.jsonl": 5}
    assert await central.begin("j1", "host", [], {}) == {"2.jsonl": 5}


async def test_the_stream_keeps_about_so_many_records(central: Central, server: RedisServer) -> None:
    await central.begin("j1", "host", [], {})
    ends = list(range(1, 1001))
    for first in range(0, 1000, 100):
        await ship(central, first, *ends[first : first + 100])
    kept = stream(server)
    assert 100 <= len(kept) <= 300
    assert kept[-1] == "r1000"


async def test_without_a_stream_there_are_sums_alone(server: RedisServer) -> None:
    central = Central(server.url, stream_records=0, fleet_days=32)
    await central.begin("j1", "host", [], {})
    await ship(central, 0, 10)
    assert stream(server) == []
    assert await figures(central) == [[1, 0, 0, 0]]
    await central.close()


async def test_rows_are_those_between_two_times_over_many_days(central: Central) -> None:
    quarters = [QUARTER + number * 43_200 for number in range(80)]
    await central.tell_sums("j1", [sums(1, quarter=quarter) for quarter in quarters])
    found = await central.rows("j1", quarters[3], quarters[70])
    assert sorted(quarter for quarter, _, _ in found) == quarters[3:70]
