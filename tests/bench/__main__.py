"""``python -m tests.bench``: read the options, run, print.

Knows nothing of measuring.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import attrs
import uvloop

from tests.bench.chart import draw
from tests.bench.ends import PYTHON_ENDS, ends
from tests.bench.framing import BenchError
from tests.bench.gateways import GATEWAYS, missing
from tests.bench.machine import Machine
from tests.bench.measures import MEASURES
from tests.bench.processes import Cores
from tests.bench.profile import profile
from tests.bench.report import as_json, as_table
from tests.bench.results_file import write_results
from tests.bench.rounds import Plan, Results, Run
from tests.bench.scale import FULL, QUICK

_FAILED, _STOPPED = 2, 130
_T = TypeVar("_T")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="What the gateway costs beside a bare proxy, Envoy, nginx and HAProxy.",
    )
    names = [measure.name for measure in MEASURES]
    parser.add_argument("--quick", action="store_true", help="short windows: under 90 seconds, and less sure")
    parser.add_argument("--only", type=_subset_of(names), default=names, metavar=",".join(names))
    parser.add_argument("--gateways", type=_subset_of(GATEWAYS), default=list(GATEWAYS), metavar=",".join(GATEWAYS))
    parser.add_argument("--rounds", type=int, help="how often each gateway is measured, in turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the figures of most interest (PNG)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the figures down (Markdown)")
    parser.add_argument(
        "--profile",
        type=Path,
        nargs="?",
        const=Path("flame.svg"),
        metavar="FILE",
        help="measure nothing; write a flame graph of aiogate under small calls (flame.svg)",
    )
    parser.add_argument(
        "--ends",
        choices=("c", "python"),
        default="c",
        help="agent and load generator: the fast ones, or those in Python",
    )
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
        gateways=[name for name in options.gateways if not missing(name)],
        scale=attrs.evolve(scale, rounds=options.rounds) if options.rounds else scale,
        cores=Cores.of_this_machine(),
        ends=ends() if options.ends == "c" else PYTHON_ENDS,
    )


async def _until_stopped(work: Coroutine[Any, Any, _T]) -> _T:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    gc.freeze()
    gc.disable()  # no pause of the bench's may fall between two windows
    return await work


def _measured(plan: Plan, notes: "list[str]") -> Results:
    results = uvloop.run(_until_stopped(Run(plan).results()))
    return attrs.evolve(results, notes=(*notes, *results.notes))


def _profiled(options: argparse.Namespace, plan: Plan) -> None:
    per_second = uvloop.run(_until_stopped(profile(options.profile, plan.cores, plan.ends, quick=options.quick)))
    print(f"{options.profile}: aiogate at {per_second:,.0f} small calls a second, watched by py-spy")


def _report(options: argparse.Namespace, plan: Plan, results: Results, machine: Machine, seconds: float) -> None:
    print(as_table(results))
    facts = {**machine.facts(), "run": f"medians of up to {plan.scale.rounds} rounds, {seconds:.0f} s"}
    print("", *(f"{name}: {fact}" for name, fact in facts.items()), sep="\n")
    if options.json:
        whole = {"machine": attrs.asdict(machine), "scale": attrs.asdict(plan.scale), **as_json(results)}
        options.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    if options.results:
        write_results(options.results, results, facts)
    if options.chart:
        draw(options.chart, results)


def main() -> int:
    """Run the bench; return the exit status: 0 also when a target is missed, 2 when a figure could not be had."""
    options = _options()
    plan, began = _plan(options), time.monotonic()
    machine = Machine.this(plan.cores, plan.gateways)
    notes = [note for note in (*map(missing, options.gateways), plan.ends.note, plan.scale.note) if note]
    for warning in (*machine.warnings(), *notes):
        print(f"warning: {warning}", file=sys.stderr)
    try:
        if options.profile:
            _profiled(options, plan)
        else:
            _report(options, plan, _measured(plan, notes), machine, time.monotonic() - began)
    except BenchError as error:
        print(f"error: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return _FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _STOPPED
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
