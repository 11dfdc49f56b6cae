"""The gateways under test do what is claimed of them, and every measure gives the figures that the report shows."""

import asyncio
import importlib.metadata
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from tests.bench.accounting import Window, forget_peak, memory
from tests.bench.ends import ends
from tests.bench.framing import BenchError
from tests.bench.gateways import KEY, Target, agent_running, gateway_running, missing
from tests.bench.idle_plugins import idle_plugins
from tests.bench.measures import MEASURES
from tests.bench.processes import Cores, files_allowed, free_port, ready, started, status_line
from tests.bench.rivals import INSTALL, RIVALS, binary, command
from tests.bench.rounds import Plan, Run
from tests.bench.rows import ROWS
from tests.bench.scale import QUICK

CORES = Cores.of_this_machine()
TINY = attrs.evolve(
    QUICK,
    rounds=1,
    warm_seconds=0.05,
    call_seconds=0.1,
    short_seconds=0.1,
    stream_seconds=0.2,
    latency_seconds=0.2,
    probe_seconds=0.1,
    many_streams=20,
    most_streams=20,
    idle_streams=20,
    bulk_bytes=10_000_000,
    warm_calls=100,
    rss_calls=100,
)


@pytest.fixture
async def agent() -> AsyncIterator[Target]:
    async with agent_running(CORES, ends()) as running:
        yield running


def authorization(key: str) -> str:
    return f"Authorization: Bearer {key}\r\n"


@pytest.mark.parametrize("name", RIVALS)
async def test_a_rival_lets_in_whom_it_knows_as_often_as_it_may(name: str, agent: Target) -> None:
    """Or it would have less to do than aiogate."""
    if binary(name) is None:
        pytest.skip(f"{name} is not installed ({INSTALL[name]})")
    port, files = free_port(), files_allowed()
    with tempfile.TemporaryDirectory() as made:
        words = command(name, Path(made), port=port, agent_port=agent.port, key=KEY, files=files, per_minute=2)
        with started(name, words, cores=CORES.gateway, cwd=Path(made)) as child:
            await ready(child, port, headers=authorization(KEY))
            assert " 401" in await status_line(port, "/chat", headers=authorization("agk_of_a_stranger"))
            assert " 401" in await status_line(port, "/chat")
            answers = [await status_line(port, "/chat", headers=authorization(KEY)) for _ in range(4)]
    assert any(" 429" in answer for answer in answers)


def test_idle_plugins_are_found_as_those_of_third_parties_are(tmp_path: Path) -> None:
    names = idle_plugins(tmp_path, 3)
    [distribution] = importlib.metadata.distributions(path=[str(tmp_path)])
    assert [(point.name, point.group) for point in distribution.entry_points] == [(name, "aiogate") for name in names]


async def test_every_measure_gives_the_figures_that_the_report_shows() -> None:
    before = os.sched_getaffinity(0)
    plan = Plan(measures=MEASURES, gateways=("aiogate",), scale=TINY, cores=CORES, ends=ends())
    found = await Run(plan).results()
    assert list(found.figures) == [measure.name for measure in MEASURES]
    for measure, by_target in found.figures.items():
        for target, rounds in by_target.items():
            for figures in rounds:
                assert figures.keys() == {row.key for row in ROWS[measure]}, (measure, target)
    assert os.sched_getaffinity(0) == before


async def test_what_a_process_took_is_accounted_for(agent: Target) -> None:
    window = Window(agent.session)
    await asyncio.gather(*(status_line(agent.port, "/flood/1000") for _ in range(20)))
    spent = window.close()
    assert 0 < spent.cpu_us < spent.wall_us
    forget_peak(agent.session)
    held = memory(agent.session)
    assert 0 < held.uss_kib <= held.rss_kib <= held.peak_kib


def test_a_rival_that_is_not_installed_is_told_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.gateways.binary", lambda _: None)
    assert missing("nginx") == "nginx is not installed and is left out (apt-get install nginx-light)"
    assert missing("aiogate") == missing("floor") == ""


async def test_a_gateway_that_lets_strangers_in_is_not_measured(monkeypatch: pytest.MonkeyPatch, agent: Target) -> None:
    """The agent itself answers whoever asks."""
    monkeypatch.setattr("tests.bench.gateways.command", lambda *_, port, **__: ends().agent_command(port))
    with pytest.raises(BenchError, match=r"answers a wrong key with 'HTTP/1\.1 200 OK'"):
        async with gateway_running("nginx", agent, CORES):
            pass
