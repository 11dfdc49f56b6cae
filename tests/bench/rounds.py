"""The run: gateways side by side, each measure in rounds that take them in turn.

Knows the order of things; neither how a figure is measured nor what it means.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import attrs

from tests.bench.framing import BenchError
from tests.bench.gateways import Target, agent_running, gateway_running
from tests.bench.measures import Figures, Measure, warm_up
from tests.bench.processes import Cores
from tests.bench.scale import Scale

__all__ = ["Plan", "run"]


@attrs.frozen(kw_only=True)
class Plan:
    """What is measured of whom, and how long."""

    measures: Sequence[Measure]
    gateways: Sequence[str]
    scale: Scale
    cores: Cores


async def run(plan: Plan) -> dict[str, dict[str, list[Figures]]]:
    """Take every measure; return by measure and target the figures of each round."""
    os.sched_setaffinity(0, plan.cores.load)
    async with agent_running(plan.cores) as agent:
        return {measure.name: await _side_by_side(plan, measure, agent) for measure in plan.measures}


async def _side_by_side(plan: Plan, measure: Measure, agent: Target) -> dict[str, list[Figures]]:
    """Take one measure of fresh gateways, so that none carries what another measure has left in it."""
    async with AsyncExitStack() as stack:
        running = [gateway_running(name, agent, plan.cores) for name in plan.gateways]
        gateways = [await stack.enter_async_context(gateway) for gateway in running]
        targets = [agent, *gateways] if measure.also_direct else gateways
        for target in targets:
            await warm_up(target)
        figures: dict[str, list[Figures]] = {target.name: [] for target in targets}
        rounds = plan.scale.rounds if measure.in_rounds else 1
        for number in range(1, rounds + 1):
            for target in targets:
                taken = await _taken(measure, target, agent, plan.scale)
                figures[target.name].append(taken)
                _tell(f"{measure.name:<8}{number}/{rounds}  {target.name:<8}", taken)
        return figures


async def _taken(measure: Measure, target: Target, agent: Target, scale: Scale) -> Figures:
    try:
        async with asyncio.timeout(scale.at_most_seconds):
            return await measure.take(target, agent, scale)
    except TimeoutError as error:
        msg = f"{measure.name} of {target.name} took more than {scale.at_most_seconds:g} s"
        raise BenchError(msg) from error
    except (BenchError, OSError) as error:
        msg = f"{measure.name} of {target.name}: {error}"
        raise BenchError(msg) from error


def _tell(what: str, figures: Figures) -> None:
    print(what, "  ".join(f"{key} {figure:,.4g}" for key, figure in figures.items()), file=sys.stderr, flush=True)
