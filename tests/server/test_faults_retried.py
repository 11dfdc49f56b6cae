"""Whatever an agent does wrong where it has several endpoints: at the first attempt, and at the one behind it."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

from aiogate.proxy.upstream.place import Place
from aiogate.testing import RunningGateway, running_gateway
from aiogate.testing.faults import FAULTS, FaultyAgent, faulty_agent
from tests.server.test_faults import (
    EXPECTED,
    FIRST_BYTE_SECONDS,
    SECONDS,
    Expected,
    Seen,
    a_client,
    check_record,
    client_is_served_well,
    failures,
    gives_up,
    good,
    recorded,
)

ON = ["connect", "reset", "500", "502", "503", "504", "529"]
MENDED = {
    fault: "agent_unreachable" if expected.code else expected.status
    for fault, expected in EXPECTED.items()
    if expected.code == "agent_unreachable" or (expected.status >= 500 and not expected.code)
}
"""Faults that another attempt mends, and how the first has ended."""


def test_it_is_known_which_faults_are_mended() -> None:
    assert {"closes_on_accept", "resets_before_head", "status_500", "status_529_retry_after"} <= MENDED.keys()
    assert not {"no_response", "garbage_status_line", "closes_mid_body", "status_429_retry_after"} & MENDED.keys()


def config(*urls: str) -> dict[str, Any]:
    faulty = {
        "urls": list(urls),
        "first_byte_seconds": FIRST_BYTE_SECONDS,
        "retry": {"attempts": 2, "on": ON, "unsafe": True},
    }
    return {"server": {"anonymous": True}, "pipeline": {"plugins": ["breaker"]}, "agents": {"faulty": faulty}}


async def ask(gateway: RunningGateway, agent: FaultyAgent, expected: Expected) -> tuple[Seen, dict[str, Any]]:
    async with a_client(gateway) as client:
        await client.ask("POST", b"q" * 100)
        seen = await (gives_up(client, agent) if expected.stalls else client.answer(agent))
    return seen, await recorded(gateway, 1)


def places(gateway: RunningGateway) -> tuple[Place, ...]:
    destination = gateway.gateway.house.upstream.to(gateway.gateway.settings.agents["faulty"])
    assert destination.endpoints is not None
    return destination.endpoints.places


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_the_first_attempt_is_mended_or_ends_its_exchange(
    fault: str, stream: bool, tmp_path: Path
) -> None:
    expected, tasks = EXPECTED[fault], asyncio.all_tasks()
    mended = attrs.evolve(expected, status=200, outcome="completed", code=None, whole=True)
    async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
        agent = await stack.enter_async_context(faulty_agent(fault, stream=stream, times=1, cued=True))
        well = await stack.enter_async_context(faulty_agent(fault, stream=stream, times=0))
        gateway = await stack.enter_async_context(running_gateway(config(agent.url, well.url), tmp_path))
        seen, record = await ask(gateway, agent, expected)
        if fault in MENDED:
            assert (seen.status, seen.body, seen.whole) == (200, good(stream), True)
            assert [one["ended"] for one in record["attempts"]] == [MENDED[fault], 200]
            assert seen.headers["x-aiogate-attempts"] == "2"
            check_record(record, seen, mended)
            assert failures(gateway) == 0
        else:
            assert (seen.status, seen.whole) == (expected.status, expected.whole)
            check_record(record, seen, expected)
            assert len(record["attempts"]) == 1
            assert len(well.heads) == 0
            assert failures(gateway) == expected.counts
        is_ill = expected.outcome == "upstream_failed" or expected.status in {502, 503, 504, 529}
        assert [place.failures for place in places(gateway)] == [int(is_ill), 0]
        await check_the_rest(gateway, agent, expected, stream)
    while asyncio.all_tasks() != tasks:
        await asyncio.sleep(0)


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_the_last_attempt_ends_its_exchange(fault: str, stream: bool, tmp_path: Path) -> None:
    expected, tasks = EXPECTED[fault], asyncio.all_tasks()
    async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
        ill = await stack.enter_async_context(faulty_agent("status_503_retry_after", stream=stream))
        agent = await stack.enter_async_context(faulty_agent(fault, stream=stream, times=1, cued=True))
        gateway = await stack.enter_async_context(running_gateway(config(ill.url, agent.url), tmp_path))
        seen, record = await ask(gateway, agent, expected)
        assert (seen.status, seen.whole) == (expected.status, expected.whole)
        check_record(record, seen, expected)
        [first, last] = record["attempts"]
        assert (first["ended"], seen.headers["x-aiogate-attempts"]) == (503, "2")
        assert last["ended"] == (expected.code if expected.status >= 500 and expected.code else expected.status)
        assert failures(gateway) == expected.counts
        await check_the_rest(gateway, agent, expected, stream)
    while asyncio.all_tasks() != tasks:
        await asyncio.sleep(0)


async def check_the_rest(gateway: RunningGateway, agent: FaultyAgent, expected: Expected, stream: bool) -> None:
    """Nothing leaks, and whoever comes next is served well."""
    assert [place.pending for place in places(gateway)] == [0, 0]
    if not expected.reused:
        await agent.deserted()
    await client_is_served_well(gateway, agent, stream)
    while gateway.gateway.house.open_exchanges:
        await asyncio.sleep(0)
    assert [place.pending for place in places(gateway)] == [0, 0]
