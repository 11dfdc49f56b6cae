"""``kill -9`` under load of gateways that share a Redis: the fleet's sums and budgets are those of the journals.

``AIOGATE_FLEET_KILLS=50`` kills so often.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
import tomli_w
from click.testing import CliRunner

from aiogate.cli.usage import usage
from aiogate.testing import fake_agent
from tests.builtin.spending import Teller
from tests.e2e.conftest import SECONDS
from tests.e2e.test_budgets_killed import Load, budgets, config, expected, records
from tests.e2e.test_reload import Served, serving
from tests.state.redis_server import RedisServer, redis_server

KILLS = int(os.environ.get("AIOGATE_FLEET_KILLS", "1"))
LATE_SECONDS = 40


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def paths(server: RedisServer, tmp_path: Path) -> AsyncIterator[list[Path]]:
    """Return the configs of two gateways, each with a journal of its own."""
    async with fake_agent(Teller(), record_bodies=False) as agent:
        found = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            path = tmp_path / name / "gateway.toml"
            path.write_text(tomli_w.dumps({**config(agent.url), "state": {"url": server.url}}))
            found.append(path)
        yield found


async def serve_and_kill(path: Path, server: RedisServer, answers: int, *, stopped: bool) -> None:
    """Kill a gateway amid calls; ``stopped``: while Redis hangs, so that nothing of the last ones was settled."""
    assert server.process is not None
    with suppress(ProcessLookupError):  # of ``serving``, which cannot end it any more
        async with serving(path) as served:
            load = Load(served.url, set(), answers)
            running = asyncio.create_task(load.run())
            async with asyncio.timeout(SECONDS):
                await load.reached.wait()
                if stopped:
                    server.process.send_signal(signal.SIGSTOP)
                    load.reached.clear()
                    load.enough = len(load.ended) + answers
                    await load.reached.wait()
                served.process.kill()
                await running
                await served.process.wait()
    server.process.send_signal(signal.SIGCONT)


def asked(path: Path, *arguments: str) -> Any:
    result = CliRunner().invoke(usage, ["--config", str(path), "--fleet", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return orjson.loads(result.stdout)


async def nothing_waits(served: Served) -> None:
    while True:
        async with served.client.get(f"{served.admin}/readyz?verbose") as response:
            said = (await response.json())["shipping"]
        if said["ships"] and not said["trouble"] and said["behind"] == 0:
            return
        await asyncio.sleep(0.05)


async def test_the_fleet_sums_up_to_its_journals_and_so_do_the_budgets(paths: list[Path], server: RedisServer) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for kill in range(KILLS):
        answers = chance.randrange(20, 200)
        await asyncio.gather(*(serve_and_kill(path, server, answers, stopped=kill % 2 == 0) for path in paths))
    async with AsyncExitStack() as running:
        one, two = await asyncio.gather(*(running.enter_async_context(serving(path)) for path in paths))
        found = await asyncio.to_thread(lambda: [one for path in paths for one in records(path.parent)])
        wanted, stands = expected(found), dict[tuple[str, str], int]()
        async with asyncio.timeout(LATE_SECONDS):
            await nothing_waits(one)
            await nothing_waits(two)
            while stands != wanted:
                await asyncio.sleep(0.1)
                listed = await budgets(two)
                stands = {(each["budget"], each["per"].get("agent", "")): each["spent"] for each in listed}
    said = await asyncio.to_thread(asked, paths[0], "--by", "agent")
    costs = Counter[str]()
    for record in found:
        costs[record["agent"]] += record["cost_nanousd"] or 0
    assert {row["agent"]: row["cost_nanousd"] for row in said["rows"]} == dict(costs), f"seed {seed}"
    assert said["total"]["calls"] == len(found), f"seed {seed}"
    shipped = await asyncio.to_thread(stream_of, server)
    assert Counter(shipped) == Counter(record["request_id"] for record in found), f"seed {seed}"


def stream_of(server: RedisServer) -> list[str]:
    with server.client() as client:
        return [fields["id"] for _, fields in client.xrange("aiogate:{journal}:stream")]
