"""Where aiogate's time goes: a flame graph of it under small calls, taken by py-spy.

Knows how py-spy is called; py-spy is in the bench extra.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from tests.bench.ends import Ends
from tests.bench.framing import BenchError
from tests.bench.gateways import agent_running, gateway_running
from tests.bench.load import Load, running
from tests.bench.processes import Cores
from tests.bench.questions import CHAT

__all__ = ["profile"]

_CALLS_AT_ONCE = 32
_SECONDS, _QUICK_SECONDS = 10, 3
_SAMPLES_PER_SECOND = 500


async def profile(path: Path, cores: Cores, ends: Ends, *, quick: bool) -> float:
    """Write a flame graph (SVG) and return the calls a second meanwhile; raises BenchError when it cannot be had."""
    py_spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if py_spy is None:
        msg = "a flame graph needs py-spy (pip install 'aiogate[bench]')"
        raise BenchError(msg)
    load = Load(mode="calls", question=CHAT, connections=_CALLS_AT_ONCE)
    async with agent_running(cores, ends) as agent, gateway_running("aiogate", agent, cores) as target:
        async with running(load, target.port, ends) as generator:
            await asyncio.sleep(1)
            await generator.mark()
            seconds = _QUICK_SECONDS if quick else _SECONDS
            await _record(py_spy, target.child.process.pid, path, seconds)
            counted = await generator.stop()
    return counted["answers"] / counted["wall_ns"] * 1e9


async def _record(py_spy: str, pid: int, path: Path, seconds: int) -> None:
    words = ("record", "--format", "flamegraph", "--output", str(path), "--pid", str(pid))
    timing = ("--duration", str(seconds), "--rate", str(_SAMPLES_PER_SECOND), "--nonblocking")
    process = await asyncio.create_subprocess_exec(
        py_spy, *words, *timing, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        msg = f"py-spy: {said.decode(errors='replace').strip()[-800:]}"
        raise BenchError(msg)
