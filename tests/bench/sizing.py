"""How much a worker carries, for whoever has to know how many there have to be: ``python -m tests.bench.sizing``.

One gateway by ``aiogate serve --workers N`` on a Redis, with key, role, rate limit, budget, cost, journal on disk and
access log. What is held against each other is CPU, which a neighbour hardly disturbs: a worker that has a core of its
own carries what the core has time for. Redis is asked what it has done, by its ``INFO commandstats``.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from redis import Redis

from tests.bench.accounting import Window, memory
from tests.bench.ends import Ends, ends
from tests.bench.gateways import KEY, Target, agent_running, config_of
from tests.bench.load import Load, running
from tests.bench.processes import Cores, files_allowed, free_port, ready, started
from tests.bench.questions import CHAT, IDLE, paced
from tests.state.redis_server import RedisServer, redis_server

_STATE = """
[state]
url = "{url}"

[[plugins.budgets.budget]]
name = "month"
usd = 1_000_000
period = "month"
"""
_EVENTS_PER_SECOND = 10
_SPARE = 0.7
"""A worker is full when so much of its core is used: what is left keeps chunks from waiting."""


@attrs.frozen(kw_only=True)
class Sized:
    """What was found for a number of workers; CPU is of all processes of the gateway together."""

    workers: int
    calls_per_second: float
    call_us: float
    scripts_per_call: float
    commands_per_call: float
    scripts_alone: float
    event_us: float
    stream_kib: float
    idle_mib: float

    def row(self) -> str:
        """Return a line of the table."""
        full = _SPARE * 1_000_000
        return (
            f"| {self.workers} | {self.calls_per_second:,.0f} | {self.call_us:.0f} µs | {full / self.call_us:,.0f} "
            f"| {self.event_us:.0f} µs | {full / self.event_us / _EVENTS_PER_SECOND:,.0f} | {self.stream_kib:.0f} KiB "
            f"| {self.idle_mib:.0f} MiB | {self.scripts_alone:.2f} | {self.scripts_per_call:.2f} "
            f"| {self.commands_per_call:.1f} |"
        )


HEAD = """\
| workers | calls/s here | CPU per call | calls/s of a worker | CPU per event | streams of a worker | an idle stream \
| memory idle | round trips per exchange, alone | under load | Redis commands per exchange |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
"""What a worker carries is what it would with a core of its own, of which ``_SPARE`` is used."""


async def size(workers: int, seconds: float, streams: int, both: Ends) -> Sized:
    """Measure a gateway with so many workers; all of it shares the machine."""
    cores = Cores.of_this_machine()
    cores = Cores(gateway=cores.gateway | cores.load, load=cores.gateway | cores.load)
    with redis_server() as server, tempfile.TemporaryDirectory(prefix="aiogate-sizing-") as made:
        async with agent_running(cores, both) as agent, _gateway(workers, Path(made), agent, server, cores) as target:
            alone, _ = await _asked(server, target, both, connections=1, seconds=seconds / 2)
            idle = memory(target.session).uss_kib  # before there was anything that memory is left over from
            async with running(Load(mode="streams", question=IDLE, connections=streams), target.port, both):
                held = memory(target.session).uss_kib - idle
            (scripts, commands), counted = await _asked(server, target, both, connections=64, seconds=seconds)
            spent = counted["cpu_us"] / counted["answers"]
            event_us = await _events(target, both, streams, seconds)
    return Sized(
        workers=workers,
        calls_per_second=counted["answers"] / seconds,
        call_us=spent,
        scripts_per_call=scripts,
        commands_per_call=commands,
        scripts_alone=alone[0],
        event_us=event_us,
        stream_kib=held / streams,
        idle_mib=idle / 1024,
    )


@asynccontextmanager
async def _gateway(
    workers: int, folder: Path, agent: Target, server: RedisServer, cores: Cores
) -> AsyncIterator[Target]:
    port, conf = free_port(), folder / "gateway.toml"
    text = config_of(folder, port, agent.port, ["api_keys", "roles", "limits", "budgets", "cost"])
    conf.write_text(text + _STATE.format(url=server.url), encoding="utf-8")
    aiogate = str(Path(sys.executable).with_name("aiogate"))
    words = (aiogate, "serve", str(conf), "--workers", str(workers))
    with started("aiogate", words, cores=cores.gateway, cwd=folder) as child:
        await ready(child, port, headers=f"Authorization: Bearer {KEY}\r\n")
        yield Target(name="aiogate", port=port, child=child)


async def _asked(
    server: RedisServer, target: Target, both: Ends, *, connections: int, seconds: float
) -> tuple[tuple[float, float], dict[str, float]]:
    """Return round trips and commands of Redis per exchange, and what was answered for how much CPU."""
    async with running(Load(mode="calls", question=CHAT, connections=connections), target.port, both) as generator:
        await asyncio.sleep(1.0)
        await generator.mark()
        before, window = _commands(server), Window(target.session)
        await asyncio.sleep(seconds)
        counted, spent = await generator.mark(), window.close()
        after = _commands(server)
        await generator.stop()
    scripts, commands = (now - then for now, then in zip(after, before, strict=True))
    counted["cpu_us"] = spent.cpu_us
    return (scripts / counted["answers"], commands / counted["answers"]), counted


async def _events(target: Target, both: Ends, streams: int, seconds: float) -> float:
    """Return the CPU of an event of a stream."""
    load = Load(mode="streams", question=paced(_EVENTS_PER_SECOND), connections=streams)
    async with running(load, target.port, both):
        await asyncio.sleep(1.0)
        window = Window(target.session)
        await asyncio.sleep(seconds)
        return window.close().cpu_us / (streams * _EVENTS_PER_SECOND * seconds)


def _commands(server: RedisServer) -> tuple[int, int]:
    """Return how many scripts were called, and how many commands they and everybody else have run."""
    with Redis(host="127.0.0.1", port=server.port) as client:
        calls = {name: facts["calls"] for name, facts in client.info("commandstats").items()}
    scripts = sum(count for name, count in calls.items() if name in {"cmdstat_evalsha", "cmdstat_eval"})
    return scripts, sum(calls.values()) - scripts


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, each line as it is had."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sizing", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each window")
    parser.add_argument("--streams", type=int, default=1_000)
    asked = parser.parse_args(words)
    files_allowed()
    both = ends()
    sys.stderr.write(f"{len(os.sched_getaffinity(0))} cores, which agent, load, Redis and gateway share\n")
    sys.stdout.write(f"{HEAD}\n")
    for workers in asked.workers:
        sys.stdout.write(f"{asyncio.run(size(workers, asked.seconds, asked.streams, both)).row()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
