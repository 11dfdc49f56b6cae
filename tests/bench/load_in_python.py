"""The load generator for where no C compiler is: ``python -m tests.bench.load_in_python MODE PORT ...``.

Takes the same arguments and says the same words as ``native/load.c``, at whose head they are written down.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from itertools import pairwise

import uvloop

from tests.bench.lines import Calls, Churn, OpenLoop
from tests.bench.streams import Streams

_ANSWER_SECONDS = 10.0


class Trouble(Exception):  # noqa: N818 - not an error of ours, but what ends the load
    """What ends the load."""


class Generator:
    """One load and what was counted since its last mark."""

    def __init__(self, arguments: Sequence[str]) -> None:
        mode, port, connections, per_second, filler, limit, request = arguments
        self._connections = int(connections)
        self._trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        whole = request.encode() + b"x" * int(filler)
        at = int(port)
        self._load: Calls | Streams
        if mode == "streams":
            self._load = Streams(at, whole, self._failed)
        elif mode == "open":
            self._load = OpenLoop(at, whole, float(per_second), self._failed)
        else:
            self._load = (Churn if mode == "churn" else Calls)(at, whole, int(limit), self._failed)
        self._marked_ns = time.perf_counter_ns()

    def _failed(self, why: str) -> None:
        if not self._trouble.done():
            self._trouble.set_exception(Trouble(why))

    async def run(self) -> None:
        """Open the connections, then obey; raises Trouble."""
        either: set[asyncio.Future[None]] = {asyncio.create_task(self._obey()), self._trouble}
        done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()

    async def _obey(self) -> None:
        await self._grow_to(self._connections)
        loop, stdin = asyncio.get_running_loop(), asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        ending = asyncio.create_task(self._ended())
        while not ending.done():
            command = asyncio.create_task(stdin.readline())
            await asyncio.wait({command, ending}, return_when=asyncio.FIRST_COMPLETED)
            if command.done() and not await self._obeyed(command.result().decode().strip()):
                return
            command.cancel()
        _say(self._figures())

    async def _obeyed(self, command: str) -> bool:
        match command.split():
            case ["mark"]:
                _say(self._figures())
            case ["grow", count]:
                await self._grow_to(int(count))
            case ["stop"] if isinstance(self._load, Calls):
                self._load.stopping = True
                asyncio.get_running_loop().call_later(_ANSWER_SECONDS, self._failed, "a call had no answer")
            case ["stop"]:
                _say(self._figures())
                return False
            case _:
                return False  # whoever asked has gone
        return True

    async def _grow_to(self, count: int) -> None:
        await self._load.grow_to(count)
        _say({"ready": count})

    async def _ended(self) -> None:
        while not (isinstance(self._load, Calls) and self._load.done):
            await asyncio.sleep(0.001)

    def _figures(self) -> dict[str, int]:
        now_ns = time.perf_counter_ns()
        figures = {"wall_ns": now_ns - self._marked_ns, **_counted(self._load)}
        self._marked_ns = time.perf_counter_ns()
        return figures


def _counted(load: Calls | Streams) -> dict[str, int]:
    """Return what was noted, and forget it."""
    if isinstance(load, Calls):
        figures = {"answers": load.answers, "bytes": load.received, **_quantiles("delay", load.delays_ns)}
        load.answers = load.received = 0
        load.delays_ns.clear()
        return figures
    delays = [delay for stream in load.open for delay in stream.delays_ns]
    gaps = [abs(later - sooner) for stream in load.open for sooner, later in pairwise(stream.delays_ns)]
    least = min((len(stream.delays_ns) for stream in load.open), default=0)
    for stream in load.open:
        stream.delays_ns.clear()
    noted = {"events": len(delays), "least_events": least}
    return {**noted, **_quantiles("delay", delays), **_quantiles("gap", gaps)}


def _quantiles(name: str, noted: Sequence[int]) -> dict[str, int]:
    if not noted:
        return {}
    ns = sorted(noted)
    shares = {"p50": 0.50, "p99": 0.99, "max": 1.0}
    return {f"{name}_{label}_ns": ns[min(len(ns) - 1, int(len(ns) * share))] for label, share in shares.items()}


def _say(figures: dict[str, int]) -> None:
    print(*(f"{name} {number}" for name, number in figures.items()), flush=True)


async def _run(arguments: Sequence[str]) -> None:
    gc.collect()
    gc.freeze()
    gc.disable()  # no pause of the load generator's may look like one of the gateway's
    await Generator(arguments).run()


if __name__ == "__main__":
    try:
        uvloop.run(_run(sys.argv[1:]))
    except (Trouble, OSError, TimeoutError) as error:
        sys.exit(str(error) or "a stream had no first event in time")
