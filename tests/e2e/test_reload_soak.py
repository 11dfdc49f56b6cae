"""Hundreds of reloads under load: no call fails, no stream is cut, nothing is left behind.

``AIOGATE_RELOADS=200 AIOGATE_RELOAD_STREAMS=200 AIOGATE_RELOAD_CALLERS=8`` makes so many.
"""

import asyncio
import hashlib
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
import tomli_w
from aiohttp import web

from aiogate.testing import fake_agent
from tests.e2e.test_reload import SECONDS, Served, serving

RELOADS = int(os.environ.get("AIOGATE_RELOADS", "200"))
STREAMS = int(os.environ.get("AIOGATE_RELOAD_STREAMS", "20"))
CALLERS = int(os.environ.get("AIOGATE_RELOAD_CALLERS", "2"))
WARM = RELOADS // 4
"""After so many reloads memory is taken for the first time: allocators and caches have their size by then."""
GROWTH_KIB = 8 * 1024
KEY = "agk_test_" + "5eed" * 16


class Agent:
    """Answers at once, or streams a line for each tick until the test says that was all."""

    def __init__(self) -> None:
        self.ticks = 0
        self.over = False
        self.changed = asyncio.Condition()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.raw_path != "/stream":
            return web.Response(body=b'{"answer": 1}', content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = 0
        await response.write(b"data: begin\n\n")
        while not (self.over and seen == self.ticks):
            async with self.changed:
                await self.changed.wait_for(lambda at=seen: self.ticks > at or self.over)
            while seen < self.ticks:
                seen += 1
                await response.write(b"data: %d\n\n" % seen)
        await response.write(b"data: [DONE]\n\n")
        return response

    async def tick(self, *, over: bool = False) -> None:
        async with self.changed:
            self.ticks += not over
            self.over = over
            self.changed.notify_all()


def config(url: str, turn: int) -> dict[str, Any]:
    """A config of some size; from turn to turn a limit, a rule and an agent beside the one that is called change."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    others = [
        {"id": f"k{n}", "sha256": hashlib.sha256(b"%d" % n).hexdigest(), "principal": f"p{n}"} for n in range(100)
    ]
    rules = [{"name": f"r{n}", "deny": f'principal.id == "nobody-{n}-{turn % 2}"'} for n in range(20)]
    return {
        "server": {"listen": "127.0.0.1:0", "access_log": "off"},
        "admin": {"listen": "127.0.0.1:0"},
        "journal": {"dir": "journal", "fsync": "never"},
        "pipeline": {"plugins": ["api_keys", "roles", "policies", "breaker", "limits", "cost"]},
        "agents": {
            "called": {"url": url, "rate_limit": f"{1_000_000 + turn % 2}/second"},
            "other": {"url": url, "description": str(turn % 3)},
        },
        "plugins": {
            "api_keys": {"keys": [{"id": "test", "sha256": digest, "principal": "alice"}, *others]},
            "policies": {"rule": rules},
            "limits": {"limit": [{"name": "all", "rate": f"{2_000_000 + turn % 2}/second", "per": ["principal"]}]},
        },
    }


@attrs.define
class Load:
    """Callers that never pause; what they were answered."""

    gateway: Served
    answers: dict[int, int] = attrs.field(factory=dict)
    over: bool = False

    async def call(self) -> None:
        async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as client:
            while not self.over:
                async with client.post(f"{self.gateway.url}/agents/called/x", data=b"{}") as response:
                    await response.read()
                    self.answers[response.status] = self.answers.get(response.status, 0) + 1

    async def stream(self, begun: asyncio.Semaphore) -> bytes:
        async with aiohttp.ClientSession(headers={"X-API-Key": KEY}, timeout=aiohttp.ClientTimeout()) as client:
            async with client.get(f"{self.gateway.url}/agents/called/stream") as response:
                said = await response.content.readline()
                begun.release()
                return said + await response.read()


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def descriptors(pid: int) -> int:
    """Count what is open, but for sockets, which come and go with the callers, and the lock that the keeper gets."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            count += not descriptor.readlink().name.startswith(("socket:", "keeper.lock"))
    return count


async def test_nothing_fails_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path, agent = tmp_path / "gateway.toml", Agent()
    async with fake_agent(agent) as running:
        path.write_text(tomli_w.dumps(config(running.url, 0)))
        async with serving(path) as gateway:
            load, begun = Load(gateway), asyncio.Semaphore(0)
            streams = [asyncio.create_task(load.stream(begun)) for _ in range(STREAMS)]
            for _ in range(STREAMS):
                await begun.acquire()
            callers = [asyncio.create_task(load.call()) for _ in range(CALLERS)]
            started, pid, memory, files = time.monotonic(), gateway.process.pid, 0, 0
            for turn in range(1, RELOADS + 1):
                path.write_text(tomli_w.dumps(config(running.url, turn)))
                async with gateway.client.post(f"{gateway.admin}/api/reload") as response:
                    said = await response.json(content_type=None)
                assert (response.status, said["generation"]) == (200, turn + 1), said
                await agent.tick()
                if turn == WARM:
                    memory, files = resident_kib(pid), descriptors(pid)
            seconds = time.monotonic() - started
            grown = resident_kib(pid) - memory
            async with asyncio.timeout(SECONDS):  # calls that were under way at the last reload may still be
                while (await gateway.verbose())["outgoing_generations"] != {"1": STREAMS}:
                    pass
                while descriptors(pid) > files:  # the totals are open now and then
                    await asyncio.sleep(0)
            load.over = True
            await asyncio.gather(*callers)
            await agent.tick(over=True)
            whole = b"data: begin\n\n" + b"".join(b"data: %d\n\n" % n for n in range(1, RELOADS + 1))
            assert set(await asyncio.gather(*streams)) == {whole + b"data: [DONE]\n\n"}
            async with asyncio.timeout(SECONDS):
                while (await gateway.verbose())["outgoing_generations"]:
                    pass
            calls = sum(load.answers.values())
            sys.stderr.write(f"{RELOADS} reloads in {seconds:.1f} s, {calls / seconds:.0f} calls/s, +{grown} KiB\n")
            assert set(load.answers) == {200}
            assert calls > 100 * min(1, seconds)
            assert grown < GROWTH_KIB
    records = [
        orjson.loads(line) for one in (tmp_path / "journal").glob("*.jsonl") for line in one.read_bytes().splitlines()
    ]
    exchanges = [record for record in records if "outcome" in record]
    assert len(exchanges) == calls + STREAMS
    assert {record["outcome"] for record in exchanges} == {"completed"}
    assert len({record["generation"] for record in exchanges}) > RELOADS // 2
    assert [record["action"] for record in records if "action" in record] == ["reload"] * RELOADS
