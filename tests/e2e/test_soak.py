"""Thousands of exchanges, of which some clients hang up on and some agents reset: nothing leaks, nothing is mixed up.

``AIOGATE_SOAK=100000`` makes so many, on each of the two event loops.
"""

import asyncio
import gc
import logging
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import uvloop
from yarl import URL

from aiogate import Exchange
from aiogate.testing import RunningGateway, running_gateway
from tests.configs import anonymous
from tests.e2e.soak.agent import SoakAgent, soak_agent
from tests.e2e.soak.client import Told, Worker
from tests.e2e.soak.plan import Fate

COUNT = int(os.environ.get("AIOGATE_SOAK", "2500"))
WORKERS = 32
SECONDS = 10
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@attrs.frozen(kw_only=True)
class Open:
    """What is open in this process.

    Args:
        descriptors: but those of the two ends of a connection that the agent knows of, which may be idle.
        tasks: but the agent's, which has one for each connection.
        unread_bytes: of the agent, on connections that somebody has forgotten.
        held: answers of which the agent holds the rest back, though its client has left.
    """

    descriptors: int
    tasks: int
    unread_bytes: int
    held: int

    @classmethod
    def now(cls, agent: SoakAgent) -> "Open":
        return cls(
            descriptors=len([*Path("/proc/self/fd").iterdir()]) - 2 * len(agent.open),
            tasks=len(asyncio.all_tasks() - agent.open),
            unread_bytes=unread_bytes(agent.port),
            held=agent.holding,
        )


def unread_bytes(port: int) -> int:
    """Return how many bytes wait in the kernel to be read by those who are connected to a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        int(queues.partition(":")[2], 16) for _, _, remote, _, queues, *_ in rows if remote.endswith(f":{port:04X}")
    )


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_leaks_and_every_pair_matches(loop: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(soak(tmp_path))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_nothing_of_an_exchange_is_kept_after_its_end(tmp_path: Path) -> None:
    async with soak_agent() as agent, running_gateway(anonymous(f"http://127.0.0.1:{agent.port}"), tmp_path) as gateway:
        begun = Open.now(agent)
        gc.collect()
        others = [kept for kept in gc.get_objects() if isinstance(kept, Exchange)]  # of tests before this one
        await exchanges(gateway, 600)
        await settled(gateway, agent, begun)
        gc.collect()
        assert sum(isinstance(kept, Exchange) for kept in gc.get_objects()) <= len(others)


async def soak(path: Path) -> None:
    async with soak_agent() as agent:
        before = Open.now(agent)
        config: dict[str, Any] = {**anonymous(f"http://127.0.0.1:{agent.port}"), "journal": {"fsync": "never"}}
        async with running_gateway(config, path) as gateway:
            begun = Open.now(agent)
            told = await exchanges(gateway, COUNT)
            await settled(gateway, agent, begun)
            assert len(agent.open) <= 2 * WORKERS
        await all_closed(agent)
        assert Open.now(agent) == before
    assert agent.wrong == []
    assert [exchange for exchange in told if exchange.wrong] == []
    check_records(gateway, told, agent)


async def exchanges(gateway: RunningGateway, count: int) -> list[Told]:
    """Make so many, over as many connections at once as there are workers."""
    told: list[Told] = []
    numbers = iter(range(count))
    port = URL(gateway.url).port
    assert port is not None
    begun = time.monotonic()
    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(Worker(port, b"/agents/echo", numbers, told).run())
    report(told, time.monotonic() - begun)
    return told


async def settled(gateway: RunningGateway, agent: SoakAgent, begun: Open) -> None:
    """Return once no exchange is open and there are as many tasks and descriptors as in the beginning."""
    house = gateway.gateway.house
    try:
        async with asyncio.timeout(SECONDS):
            while house.open_exchanges or Open.now(agent) != begun:
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"{len(house.open_exchanges)} open; {Open.now(agent)}, {begun} in the beginning") from None


async def all_closed(agent: SoakAgent) -> None:
    """Return once the agent has no connection any more: the gateway that had them has ended."""
    async with asyncio.timeout(SECONDS):
        while agent.open:
            await asyncio.sleep(0)


def check_records(gateway: RunningGateway, told: list[Told], agent: SoakAgent) -> None:
    """One record for each exchange that the gateway can have known of, its outcome what the exchange has come to."""
    records: dict[int, dict[str, Any]] = {}
    for record in gateway.records():
        number = int(record["path"].rpartition("/")[2])
        assert number not in records, f"two records: {record}, {records[number]}"
        records[number] = record
    for exchange in told:
        check_record(records.pop(exchange.number, None), exchange, agent)
    assert records == {}


def check_record(record: dict[str, Any] | None, exchange: Told, agent: SoakAgent) -> None:
    if record is None:  # a client that left at once may have left before the gateway had read its request
        assert exchange.fate is Fate.HANGS_UP, exchange
        assert not exchange.heard, exchange
        assert not agent.seen[exchange.number], exchange
        return
    assert exchange.sent_head, record
    if exchange.status:
        assert record["request_id"] == exchange.request_id
        assert record["status"] == exchange.status
    assert record["outcome"] in OUTCOMES[exchange.fate], (record, exchange)


OUTCOMES = {
    Fate.WHOLE: {"completed"},
    Fate.RESETS: {"upstream_failed"},
    Fate.HANGS_UP: {"client_gone", "completed"},  # the answer may have been on its way already
}


def report(told: list[Told], seconds: float) -> None:
    """Say what has been; pytest shows it with ``-s`` and when the test fails."""
    fates = {fate.value: sum(exchange.fate is fate for exchange in told) for fate in Fate}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    said = f"{len(told)} exchanges in {seconds:.1f} s ({len(told) / seconds:.0f}/s), {fates}, peak RSS {peak} MiB\n"
    sys.stderr.write(re.sub(r"[{}']", "", said))
