"""``python -m tests.bench``: read the options, run, print.

Knows nothing of measuring.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import uvloop

from tests.bench.framing import BenchError
from tests.bench.gateways import GATEWAYS
from tests.bench.measures import FILES_FOR_MOST_STREAMS, MEASURES
from tests.bench.processes import Cores, files_allowed
from tests.bench.report import Results, as_json, as_table
from tests.bench.rounds import Plan, run
from tests.bench.scale import FULL, QUICK

_FAILED, _STOPPED = 2, 130
_BUSY_LOAD = 0.5


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="What the gateway costs beside a bare proxy."
    )
    names = [measure.name for measure in MEASURES]
    parser.add_argument("--quick", action="store_true", help="short windows: under a minute, and less sure")
    parser.add_argument("--only", type=_subset_of(names), default=names, metavar=",".join(names))
    parser.add_argument("--gateways", type=_subset_of(GATEWAYS), default=list(GATEWAYS), metavar=",".join(GATEWAYS))
    parser.add_argument("--rounds", type=int, help="how often each gateway is measured, in turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser.parse_args()


def _subset_of(names: "list[str] | tuple[str, ...]") -> Any:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(names):
            msg = f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}"
            raise argparse.ArgumentTypeError(msg)
        return [name for name in names if name in chosen]

    return parse


def _plan(options: argparse.Namespace) -> Plan:
    scale = QUICK if options.quick else FULL
    return Plan(
        measures=[measure for measure in MEASURES if measure.name in options.only],
        gateways=options.gateways,
        scale=attrs.evolve(scale, rounds=options.rounds) if options.rounds else scale,
        cores=Cores.of_this_machine(),
    )


def _machine(cores: Cores) -> dict[str, Any]:
    return {
        "cores": len(cores.gateway | cores.load),
        "gateway_alone_on_its_core": cores.apart,
        "load_average_before": round(os.getloadavg()[0], 2),
        "open_files": files_allowed(),
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "uvloop": version("uvloop"),
    }


def _warn(machine: dict[str, Any]) -> None:
    if machine["load_average_before"] > _BUSY_LOAD:
        print(
            f"warning: the machine is busy (load {machine['load_average_before']}); delays will show it",
            file=sys.stderr,
        )
    if not machine["gateway_alone_on_its_core"]:
        print("warning: one core only; the gateway shares it with agent and load generator", file=sys.stderr)
    if machine["open_files"] < FILES_FOR_MOST_STREAMS:
        print(
            f"warning: {machine['open_files']} open files are allowed and {FILES_FOR_MOST_STREAMS} are needed: "
            "the most streams are not tried (raise it with `ulimit -Hn`)",
            file=sys.stderr,
        )


async def _run(plan: Plan) -> Results:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    gc.freeze()
    gc.disable()  # no pause of the load generator's may look like one of the gateway's
    return await run(plan)


def main() -> int:
    """Run the bench; return the exit status: 0 also when a target is missed, 2 when a figure could not be had."""
    options = _options()
    plan, began = _plan(options), time.monotonic()
    machine = _machine(plan.cores)
    _warn(machine)
    try:
        results = uvloop.run(_run(plan))
    except BenchError as error:
        print(f"error: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return _FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _STOPPED
    print(as_table(results))
    print(f"\n{time.monotonic() - began:.0f} s; medians of {plan.scale.rounds} rounds; {machine}")
    if options.json:
        whole = {"machine": machine, "scale": attrs.asdict(plan.scale), "measures": as_json(results)}
        options.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
