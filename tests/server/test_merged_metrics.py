"""Metrics of several workers: counters and histograms add up, gauges are right, and the dead still count."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from aiogate.server.exposition import metrics_of
from aiogate.server.merged_metrics import GREATEST, LEAST, SUMMED, Counted, Left, exposed, merged, plain_metrics
from aiogate.server.siblings import Siblings
from aiogate.testing import fake_agent
from tests.server.several import Workers


def worker(exchanges: int, under_way: int, healthy: int, away: int, seconds: float) -> list[Any]:
    ends = CounterMetricFamily("aiogate_exchanges", "Ends.", labels=["agent"])
    ends.add_metric(["echo"], exchanges)
    duration = HistogramMetricFamily("aiogate_exchange_duration_seconds", "Time.", labels=["agent"])
    duration.add_metric(["echo"], [("1.0", exchanges - 1), ("+Inf", exchanges)], seconds)
    return plain_metrics(
        [
            ends,
            duration,
            GaugeMetricFamily("aiogate_open_exchanges", "Under way.", under_way),
            GaugeMetricFamily("aiogate_journal_healthy", "Well.", healthy),
            GaugeMetricFamily("aiogate_state_degraded", "Away.", away),
        ]
    )


def samples(families: Any) -> dict[str, float]:
    return {
        name + "".join(f"[{value}]" for key, value in labels.items() if key == "le"): value
        for family in families
        for name, labels, value in family["samples"]
    }


def test_counters_and_histograms_add_up_and_gauges_are_the_worst_or_the_sum() -> None:
    whole = merged([worker(3, 1, 1, 0, 0.5), worker(5, 2, 0, 1, 1.5)])
    assert samples(whole) == {
        "aiogate_exchanges_total": 8,
        "aiogate_exchange_duration_seconds_bucket[1.0]": 6,
        "aiogate_exchange_duration_seconds_bucket[+Inf]": 8,
        "aiogate_exchange_duration_seconds_count": 8,
        "aiogate_exchange_duration_seconds_sum": 2.0,
        "aiogate_open_exchanges": 3,
        "aiogate_journal_healthy": 0,
        "aiogate_state_degraded": 1,
    }


def test_of_the_dead_what_they_have_counted_stays_and_nothing_else() -> None:
    whole = samples(merged([worker(3, 1, 1, 0, 0.5)], [worker(5, 2, 0, 1, 1.5)]))
    assert whole["aiogate_exchanges_total"] == 8
    assert whole["aiogate_exchange_duration_seconds_count"] == 8
    assert (whole["aiogate_open_exchanges"], whole["aiogate_journal_healthy"], whole["aiogate_state_degraded"]) == (
        1,
        1,
        0,
    )


async def test_whoever_is_buried_counts_once_at_every_moment(tmp_path: Path) -> None:
    """Between its death and its burial, in the middle of a burial, and after it."""
    left = Left(tmp_path)
    for name, exchanges in (("1", 3), ("2", 5)):
        await Counted(Siblings(tmp_path, name)).write(worker(exchanges, 1, 1, 0, 0.5))

    def total(before: dict[str, Any], alive: set[str]) -> float:
        return samples(merged([worker(7, 1, 1, 0, 0.5)], left.without(before, alive)))["aiogate_exchanges_total"]

    def look() -> list[float]:
        before = left.counted()
        unburied = total(before, {"3"})
        left.bury("1")
        left.bury("1")  # again, as it would be by a supervisor that hears of it twice
        found = [unburied, total(before, {"3"}), total(left.counted(), {"3"})]
        left.bury("2")
        return [*found, total(before, {"3"}), total(left.counted(), {"3"})]

    assert await asyncio.to_thread(look) == [15, 15, 15, 15, 15]


async def test_any_worker_tells_for_all_and_for_those_that_have_gone(workers: Workers) -> None:
    async with fake_agent() as agent, aiohttp.ClientSession() as session:
        workers.configure(agents={"echo": {"url": agent.url}})
        await workers.gateways["1"].together.reload("test")
        for calls, gateway in enumerate(workers.gateways.values(), 1):
            for _ in range(calls):
                async with session.get(f"http://{gateway.public}/agents/echo/") as answer:
                    assert answer.status == 200

        async def told(name: str) -> dict[str, float]:
            async with session.get(f"http://{workers.gateways[name].admin}/metrics") as answer:
                families = text_string_to_metric_families(await answer.text())
                return {one.name: one.value for family in families for one in family.samples if "le" not in one.labels}

        for name in workers.gateways:
            assert (await told(name))["aiogate_exchanges_total"] == 6
        await workers.gateways.pop("3").stop(grace_seconds=0.0)
        assert (await told("1"))["aiogate_exchanges_total"] == 6
        await asyncio.to_thread(Left(workers.folder).bury, "3")
        assert (await told("2"))["aiogate_exchanges_total"] == 6
        assert (await told("2"))["aiogate_config_generation"] == 2


async def test_every_gauge_says_how_several_of_it_are_one(workers: Workers) -> None:
    """Whoever adds a gauge decides: the sum of all workers, the least, or the greatest of them (merged_metrics.py)."""
    gauges = {one.name for one in await metrics_of(workers.gateways["1"]) if one.type == "gauge"}
    assert gauges <= SUMMED | LEAST | GREATEST


def test_what_is_merged_reads_as_before() -> None:
    [family] = text_string_to_metric_families(exposed(merged([worker(3, 1, 1, 0, 0.5)])[:1]).decode())
    assert (family.name, family.type, family.samples[0].value) == ("aiogate_exchanges", "counter", 3.0)


@pytest.mark.parametrize("path", ["/api/status", "/readyz?verbose"])
async def test_any_worker_says_how_all_are(workers: Workers, path: str) -> None:
    workers.gateways["3"].house.open_exchanges["x"] = None  # type: ignore[assignment] # only counted
    async with aiohttp.ClientSession() as session:
        for gateway in workers.gateways.values():
            async with session.get(f"http://{gateway.admin}{path}") as answer:
                said = await answer.json()
                assert answer.status == 200
            assert said["open_exchanges"] == 1
            assert [(one["name"], one["open_exchanges"], one["ready"]) for one in said["workers"]] == [
                ("1", 0, True),
                ("2", 0, True),
                ("3", 1, True),
            ]
    workers.gateways["3"].house.open_exchanges.clear()


async def test_one_that_is_not_ready_makes_all_of_them_so(workers: Workers) -> None:
    workers.gateways["3"].house.journal.healthy = False
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{workers.gateways['1'].admin}/readyz?verbose") as answer:
            assert answer.status == 503
            assert (await answer.json())["checks"] == {"accepting": True, "journal": False, "plugins": True}
        async with session.get(f"http://{workers.gateways['1'].admin}/readyz") as answer:
            assert answer.status == 503
