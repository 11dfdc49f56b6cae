"""How many bytecodes a small call and an event take, and in which functions: ``python -m tests.bench.bytecodes``.

Counts, so it is the same however busy the machine is, where times vary by a tenth. A gateway runs in this process, on
its loop, agent and load generator beside it; what runs in a frame of Python is counted by ``sys.settrace``, what C does
is not. For before and after, and for finding what is fat: one bytecode of CPython 3.11 is about 80 instructions of the
processor, half of them in the C that it calls.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import attrs
import uvloop

import aiogate
from aiogate.pipeline.load import load
from aiogate.server.gateway import Gateway
from tests.bench.ends import Ends, ends
from tests.bench.gateways import agent_running, config_of
from tests.bench.load import Counted, Load, running
from tests.bench.processes import Cores, free_port
from tests.bench.questions import CHAT, paced

__all__ = ["Counts", "of_a_call", "of_an_event"]

_CALLS: Final = 300
_STREAMS, _EVENTS_PER_SECOND, _SECONDS = 10, 20, 2.0
_OWN: Final = str(Path(aiogate.__file__).parent)
_PLUGINS: Final = ("api_keys", "roles", "limits", "cost")


@attrs.frozen
class Counts:
    """Bytecodes by function, and how often each was entered, for one call or one event."""

    bytecodes: dict[CodeType, float]
    entries: dict[CodeType, float]

    @property
    def whole(self) -> float:
        """All of them together."""
        return sum(self.bytecodes.values())

    def figures(self) -> dict[str, Any]:
        """Return them by the functions' names: how many altogether; of each bytecodes, and how often it was entered."""
        functions = {_name(code): [count, self.entries.get(code, 0.0)] for code, count in self.bytecodes.items()}
        return {"bytecodes": self.whole, "functions": functions}

    def table(self, most: int) -> str:
        """Return the functions with most, one a line: bytecodes, entries, name."""
        rows = sorted(self.bytecodes.items(), key=lambda row: -row[1])
        lines = [f"{count:8,.1f}  {self.entries.get(code, 0.0):6.2f}  {_name(code)}" for code, count in rows[:most]]
        return "\n".join((f"{self.whole:8,.1f}  in {len(rows)} functions", *lines))


def _name(code: CodeType) -> str:
    file = Path(code.co_filename)
    where = file.relative_to(Path(_OWN).parent) if file.is_relative_to(_OWN) else Path(*file.parts[-2:])
    return f"{where}:{code.co_qualname}"


class _Counter:
    """Counts what runs in this thread as long as the block lasts, save what belongs to the bench."""

    def __init__(self) -> None:
        self._bytecodes: Counter[CodeType] = Counter()
        self._entries: Counter[CodeType] = Counter()

    def __enter__(self) -> None:
        sys.settrace(self._enter)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def counts(self, times: float) -> Counts:
        return Counts(
            {code: count / times for code, count in self._bytecodes.items()},
            {code: count / times for code, count in self._entries.items()},
        )

    def _enter(self, frame: FrameType, event: str, _arg: object) -> Any:
        file = frame.f_code.co_filename
        if event != "call" or not (file.startswith(_OWN) or f"{os.sep}aiohttp{os.sep}" in file):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self._entries[frame.f_code] += 1
        return self._count

    def _count(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "opcode":
            self._bytecodes[frame.f_code] += 1
        return self._count


@asynccontextmanager
async def _gateway(far: Ends) -> AsyncIterator[int]:
    """Run a gateway with the config of the bench; yield its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="aiogate-bench-") as made, open(os.devnull, "wb") as nowhere:  # noqa: ASYNC230, PTH123 - before anything is served
        conf = Path(made) / "gateway.toml"
        async with agent_running(Cores.of_this_machine(), far) as agent:
            conf.write_text(config_of(Path(made), port, agent.port, _PLUGINS), encoding="utf-8")
            gateway = Gateway(*load(conf, {}), load=partial(load, conf, {}), stdout=nowhere)
            await gateway.start()
            try:
                yield port
            finally:
                await gateway.stop(grace_seconds=0.0)


async def of_a_call(far: Ends) -> Counts:
    """Return what a small call takes."""
    counter = _Counter()
    async with _gateway(far) as port:
        await _calls(port, far)  # what is remembered from call to call is known by then
        with counter:
            counted = await _calls(port, far)
    return counter.counts(counted["answers"])


async def _calls(port: int, far: Ends) -> Counted:
    async with running(Load(mode="calls", question=CHAT, connections=1, calls=_CALLS), port, far) as generator:
        return await generator.last()


async def of_an_event(far: Ends) -> Counts:
    """Return what an event of a stream takes that goes on."""
    counter = _Counter()
    load = Load(mode="streams", question=paced(_EVENTS_PER_SECOND), connections=_STREAMS)
    async with _gateway(far) as port, running(load, port, far) as generator:
        await asyncio.sleep(1)
        await generator.mark()
        with counter:
            await asyncio.sleep(_SECONDS)
        counted = await generator.mark()
    return counter.counts(counted["events"])


def main() -> None:
    """Print both."""
    about = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bytecodes", description=f"{about}.")
    parser.add_argument("--most", type=int, default=60, metavar="N", help="so many functions of each (60)")
    parser.add_argument("--json", action="store_true", help="print all functions as JSON")
    options = parser.parse_args()
    far = ends()
    counted = {name: uvloop.run(of(far)) for name, of in (("call", of_a_call), ("event", of_an_event))}
    if options.json:
        print(json.dumps({name: counts.figures() for name, counts in counted.items()}, indent=2))
        return
    for name, counts in counted.items():
        print(f"{name}:\n{counts.table(options.most)}\n")


if __name__ == "__main__":
    main()
