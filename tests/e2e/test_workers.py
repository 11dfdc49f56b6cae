"""Several workers under one supervisor, as processes, on one Redis: they count as one and are replaced one by one.

``AIOGATE_WORKERS_ROUNDS=10`` kills and reloads so often, and serves as long between.
"""

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import tomli_w
from aiohttp import web

from aiogate.journal.audit import audit
from aiogate.journal.reader import records as journaled
from aiogate.journal.sums import sums
from aiogate.journal.totals import Totals
from aiogate.testing import fake_agent
from tests.builtin.spending import EVENT, WORD
from tests.e2e.conftest import KEY, Served, config, serving
from tests.e2e.test_restart import supervised
from tests.state.redis_server import RedisServer, redis_server

pytest.importorskip("gunicorn", reason="gunicorn is not installed: there are no workers without it")

ROUNDS = int(os.environ.get("AIOGATE_WORKERS_ROUNDS", "1"))
WORKERS = 4
CALLERS = 200
LIMIT = 50
SECONDS = 60 + 30 * ROUNDS
USD = 10**9
SLICE_NANOUSD = USD // 100
STREAMS = 20
EVENTS = 100
PACE_SECONDS = 0.02


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer at once, or with events that cost a tenth of a cent each, at the pace of a model."""
    if not request.path.endswith("/stream"):
        return web.Response(body=b"{}", content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(EVENTS):
        await response.write(EVENT % WORD)
        await asyncio.sleep(PACE_SECONDS)
    return response


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def agent_url() -> AsyncIterator[str]:
    async with fake_agent(answer, record_bodies=False) as running:
        yield running.url


def wanted(agent_url: str, server: RedisServer, prefix: str, workers: int) -> dict[str, Any]:
    whole = config(agent_url)
    whole["server"] |= {"workers": workers, "grace_seconds": 20}
    whole["state"] = {"url": server.url, "prefix": f"{prefix}:", "timeout_seconds": 5.0}
    whole["pipeline"]["plugins"].insert(-1, "budgets")
    whole["agents"]["assistant"] |= {"rate_limit": "1000000/minute", "concurrency": 500}
    whole["agents"]["scarce"] |= {"rate_limit": f"{LIMIT}/minute", "concurrency": 500}
    whole["agents"]["dear"] = {"url": agent_url, "required_role": "agent_user"}
    whole["plugins"]["cost"]["price"] = [{"model": "m-1", "input_usd_per_million": 0, "output_usd_per_million": 40}]
    budget = {"name": "dollar", "usd": 1, "period": "month", "slice_usd": SLICE_NANOUSD / USD}
    whole["plugins"]["budgets"] = {"budget": [{**budget, "match": {"agent": "dear"}}]}
    return whole


@asynccontextmanager
async def serving_by(workers: int, agent_url: str, server: RedisServer, folder: Path) -> AsyncIterator[Served]:
    async with (
        asyncio.timeout(SECONDS),
        serving(wanted(agent_url, server, folder.name, workers), folder, SECONDS) as served,
        aiohttp.ClientSession() as operator,
    ):
        await until(operator, served, lambda said: said["gateways"] == workers)
        yield served


async def until(
    operator: aiohttp.ClientSession, served: Served, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return the status of all workers, whoever tells it, once something holds of it."""
    while True:
        async with operator.get(f"{served.operators}/api/status") as response:
            said: dict[str, Any] = await response.json()
        if holds(said):
            return said
        await asyncio.sleep(0.02)


async def test_four_workers_count_as_one(agent_url: str, server: RedisServer, tmp_path: Path) -> None:
    """Of 200 callers exactly 50 pass a limit of 50; a dollar is spent and no more than a slice beyond it."""
    async with serving_by(WORKERS, agent_url, server, tmp_path) as served:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(headers={"X-API-Key": KEY}, connector=connector) as session:

            async def call(path: str) -> int:
                async with session.get(f"{served.url}/agents/{path}") as response:
                    try:
                        await response.read()
                    except aiohttp.ClientPayloadError:
                        return 0  # it was cut
                    return response.status

            statuses = Counter(await asyncio.gather(*(call("scarce/") for _ in range(CALLERS))))
            assert statuses == {200: LIMIT, 429: CALLERS - LIMIT}
            await asyncio.gather(*(call("dear/stream") for _ in range(STREAMS)))
            calls = STREAMS + 1
            while await call("dear/stream") != 429:  # as long as anything is left, one is let in
                calls += 1
            async with session.get(f"{served.operators}/api/budgets") as response:
                [budget] = await response.json()
            async with session.get(f"{served.operators}/metrics") as response:
                metrics = await response.text()
        records = served.records()
        spent = sum(record["cost_nanousd"] or 0 for record in records if record.get("agent") == "dear")
        assert USD - SLICE_NANOUSD <= spent <= USD + SLICE_NANOUSD
        assert (budget["spent"], budget["held"]) == (spent, 0)
        assert 'aiogate_exchanges_total{agent="scarce",outcome="completed",status="200"} 50.0' in metrics
        assert f"aiogate_state_gateways {WORKERS}.0" in metrics
        assert len(records) == CALLERS + calls
        segments = [path for path in served.journal.glob("*.jsonl") if path.stat().st_size]
        assert len(segments) > 1, "the kernel gave all connections to one worker"
        sys.stderr.write(f"{len(segments)} workers served; of a dollar {spent / USD:.4f} spent\n")


@attrs.define
class Callers:
    """Call until they are told to stop, each over a connection of its own every time, or over one that is kept."""

    url: str
    served: list[str] = attrs.field(factory=list)
    failed: list[str] = attrs.field(factory=list)
    interrupted: list[str] = attrs.field(factory=list)
    """On a connection that was kept: who closes it cannot know that a request is on its way (RFC 9112, 9.3.1)."""
    stop: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(self._call(keeps=number % 2 == 0))

    async def _call(self, *, keeps: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=not keeps)
        async with aiohttp.ClientSession(headers={"X-API-Key": KEY}, connector=connector) as session:
            while not self.stop:
                try:
                    async with session.post(f"{self.url}/agents/assistant/", data=b"hi") as response:
                        await response.read()
                        assert response.status == 200, await response.text()
                        self.served.append(response.headers["X-Request-Id"])
                except aiohttp.ClientError as error:
                    (self.interrupted if keeps else self.failed).append(repr(error))

    async def more(self, count: int = 100) -> None:
        """Return when so many more answers have come."""
        enough = len(self.served) + count * ROUNDS
        while len(self.served) < enough:
            await asyncio.sleep(0.01)

    def took(self) -> list[str]:
        """Return what has failed since it was asked last."""
        failed, self.failed, self.interrupted = [*self.failed, *self.interrupted], [], []
        return failed


async def test_workers_are_reloaded_killed_and_upgraded_under_load(
    agent_url: str, server: RedisServer, tmp_path: Path
) -> None:
    """A reload and an upgrade fail nobody, a killed worker takes no finished answer with it, a drain ends streams."""
    async with serving_by(2, agent_url, server, tmp_path) as served, aiohttp.ClientSession() as operator:
        callers = Callers(served.url)
        calling = asyncio.create_task(callers.run())
        said = await until(operator, served, lambda said: len(said["workers"]) == 2)
        for turn in range(ROUNDS):
            await callers.more()
            served.process.send_signal(signal.SIGHUP)
            await until(operator, served, lambda said, turn=turn: said["generation"] == turn + 2)  # type: ignore[misc] # mypy: no default
            await callers.more()
            assert callers.took() == []
            victim = said["workers"][0]["pid"]
            os.kill(victim, signal.SIGKILL)
            said = await until(operator, served, lambda said, victim=victim: replaced(said, victim, 2))  # type: ignore[misc] # likewise
            await callers.more()
            assert len(callers.took()) <= 8, "more than one call of each has failed"
        assert said["generation"] == ROUNDS + 1

        async with upgraded(served, operator) as supervisor:
            await callers.more()
            callers.stop = True
            await calling
            assert callers.failed == []
            streams = [asyncio.create_task(stream(served.url)) for _ in range(4)]
            await until(operator, served, lambda said: said["open_exchanges"] == 4)
            os.kill(supervisor, signal.SIGTERM)
            assert await asyncio.gather(*streams) == [EVENTS] * 4
            await gone(supervisor)
        found = await asyncio.to_thread(lambda: list(journaled(served.journal)))  # some is compressed by now
        records = Counter(record["request_id"] for record in found)
        assert all(records[request_id] == 1 for request_id in callers.served)
        await asyncio.to_thread(is_one_journal, served.journal, len(found))
        _, logged = await served.process.communicate()
        assert b"Traceback" not in logged, logged.decode()
        sys.stderr.write(
            f"{len(callers.served)} answers, {ROUNDS} reloads and kills, an upgrade: no other has failed\n"
        )


@asynccontextmanager
async def upgraded(served: Served, operator: aiohttp.ClientSession) -> AsyncIterator[int]:
    """Have another supervisor take over, and give its id; it is no child of ours."""
    first = served.process.pid
    served.process.send_signal(signal.SIGUSR2)
    said = await until(operator, served, lambda said: supervisor_of(said) not in {0, first})
    supervisor = supervisor_of(said)
    try:
        while served.process.returncode is None:  # its wait() waits for the pipe to close, too
            await asyncio.sleep(0.02)
        assert served.process.returncode == 0
        yield supervisor
    finally:
        with suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGKILL)


async def gone(pid: int) -> None:
    """Return when there is no such process any more."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            await asyncio.sleep(0.02)


def replaced(said: dict[str, Any], victim: int, workers: int) -> bool:
    pids = {worker["pid"] for worker in said["workers"]}
    return len(pids) == workers and victim not in pids and all(worker["ready"] for worker in said["workers"])


def supervisor_of(said: dict[str, Any]) -> int:
    """Return the process that has started the workers; 0: they are no more."""
    pid = said["workers"][0]["pid"]
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


async def stream(url: str) -> int:
    """Return how many events of a stream came that ended as it should."""
    async with (
        aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session,
        session.get(f"{url}/agents/assistant/stream") as response,
    ):
        return (await response.read()).count(b"\n\n")


def is_one_journal(directory: Path, records: int) -> None:
    """Look whether the segments of all that have ever written are intact, and folded once each."""
    assert audit(directory).intact
    with Totals.of(directory) as totals:
        totals.fold()
        assert sums(totals, ())[()].calls == records


async def test_systemd_hears_from_the_supervisor_alone_and_hands_it_a_socket(
    agent_url: str, server: RedisServer, tmp_path: Path
) -> None:
    """It is ready when all serve; a reload ends whatever comes of it; the watchdog is fed; it says that it stops."""
    path, whole = tmp_path / "gateway.toml", wanted(agent_url, server, tmp_path.name, 2)
    path.write_text(tomli_w.dumps(whole))
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
    ):
        line.setblocking(False)
        line.bind(str(tmp_path / "notify"))
        async with asyncio.timeout(SECONDS):
            async with supervised(path, listening, str(tmp_path / "notify")) as process:
                assert b"serving, config 1, 2 workers" in await told(line, b"READY=1")
                async with (
                    aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session,
                    session.get("http://{}:{}/agents/assistant/".format(*listening.getsockname())) as response,
                ):
                    assert response.status == 200
                process.send_signal(signal.SIGHUP)
                await told(line, b"RELOADING=1")
                assert (await told(line, b"READY=1")).endswith(b"serving, config 2")
                path.write_text(tomli_w.dumps({**whole, "agents": {}}))
                process.send_signal(signal.SIGHUP)
                await told(line, b"RELOADING=1")
                assert b"config 2; the last reload failed: agents: there is no agent" in await told(line, b"READY=1")
                await told(line, b"WATCHDOG=1")
            await told(line, b"STOPPING=1")


async def test_a_second_signal_cuts_what_the_first_one_waits_for(
    agent_url: str, server: RedisServer, tmp_path: Path
) -> None:
    async with serving_by(2, agent_url, server, tmp_path) as served:
        streaming = asyncio.create_task(stream(served.url))
        async with aiohttp.ClientSession() as operator:
            await until(operator, served, lambda said: said["open_exchanges"] == 1)
        assert served.process.stderr is not None
        served.process.terminate()
        async for line in served.process.stderr:
            if b"draining: 1 open exchanges" in line:
                break
        served.process.terminate()
        with pytest.raises(aiohttp.ClientPayloadError):
            await streaming
        _, logged = await served.process.communicate()
        assert served.process.returncode == 0, logged.decode()
        assert served.records()[-1]["outcome"] == "cut"


async def told(line: socket.socket, what: bytes) -> bytes:
    """Return what systemd is told that begins so; the watchdog is fed now and then."""
    while not (said := await asyncio.get_running_loop().sock_recv(line, 4096)).startswith(what):
        assert said == b"WATCHDOG=1", said
    return said


async def test_a_supervisor_whose_workers_cannot_start_gives_up_with_their_error(
    agent_url: str, server: RedisServer, tmp_path: Path
) -> None:
    whole = wanted(agent_url, server, tmp_path.name, 2)
    (tmp_path / "occupied").touch()
    whole["journal"]["dir"] = "occupied"
    (tmp_path / "gateway.toml").write_text(tomli_w.dumps(whole))
    command = [sys.executable, "-c", "from aiogate.cli import main; main()", "serve", str(tmp_path / "gateway.toml")]
    async with asyncio.timeout(SECONDS):
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"aiogate: journal in" in said
    assert b"Traceback" not in said, said.decode()
