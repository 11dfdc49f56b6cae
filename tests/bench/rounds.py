"""The run: gateways side by side, each measure in rounds that take them in turn.

Knows the order of things; neither how a figure is measured nor what it means.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

import attrs

from tests.bench.ends import Ends
from tests.bench.framing import BenchError
from tests.bench.gateways import PLUGGED, UPWARDS, Target, agent_running, gateway_running
from tests.bench.measured_memory import FILES_PER_STREAM, SPARE_FILES
from tests.bench.measures import Measure, warm_up
from tests.bench.processes import Cores, files_allowed
from tests.bench.rivals import RIVALS
from tests.bench.scale import Scale
from tests.bench.trial import Figures, Trial

__all__ = ["Plan", "Results", "Run"]


@attrs.frozen(kw_only=True)
class Plan:
    """What is measured of whom, how long, and with what."""

    measures: Sequence[Measure]
    gateways: Sequence[str]
    scale: Scale
    cores: Cores
    ends: Ends


@attrs.frozen(kw_only=True)
class Results:
    """By measure and target the figures of each round, and what a reader must know about them."""

    figures: Mapping[str, Mapping[str, Sequence[Figures]]]
    notes: Sequence[str] = ()


class Run:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._notes: list[str] = []
        self._began = time.monotonic()
        self._shared: dict[str, Target] = {}

    async def results(self) -> Results:
        """Take every measure; raises BenchError when one of the agent, the floor or aiogate cannot be had."""
        async with AsyncExitStack() as stack:
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, self._plan.cores.load)
            agent = await stack.enter_async_context(agent_running(self._plan.cores, self._plan.ends))
            figures = {
                measure.name: await self._side_by_side(measure, agent, stack)
                for measure in self._plan.measures
                if self._fits(measure)
            }
        return Results(figures=figures, notes=self._notes)

    def _fits(self, measure: Measure) -> bool:
        if measure.streams is None:
            return True
        streams = measure.streams(self._plan.scale)
        if streams * FILES_PER_STREAM + SPARE_FILES > files_allowed():
            self._note(f"{measure.name}: left out, for {streams} streams too few files may be open (`ulimit -Hn`)")
            return False
        return streams > 0

    async def _side_by_side(self, measure: Measure, agent: Target, run: AsyncExitStack) -> dict[str, list[Figures]]:
        """Take one measure of gateways that nothing else has been asked of, unless the scale is for haste."""
        names = [name for name in (measure.only_of or self._plan.gateways) if self._planned(name)]
        async with AsyncExitStack() as own:
            fresh = measure.fresh or self._plan.scale.fresh
            targets = await self._running(names, agent, own if fresh else run, fresh=fresh)
            if measure.also_direct and targets:
                targets.insert(0, agent)
            return await self._in_turn(measure, targets, agent)

    def _planned(self, name: str) -> bool:
        return {PLUGGED: "aiogate", UPWARDS: "floor"}.get(name, name) in self._plan.gateways

    async def _running(
        self, names: Sequence[str], agent: Target, stack: AsyncExitStack, *, fresh: bool
    ) -> list[Target]:
        started: dict[str, Target] = {} if fresh else self._shared
        for name in names:
            if name not in started:
                with self._leaving_out_rivals(name, "cannot be started"):
                    target = await stack.enter_async_context(gateway_running(name, agent, self._plan.cores))
                    await warm_up(self._trial(target, agent))
                    started[name] = target
        return [started[name] for name in names if name in started]

    def _trial(self, target: Target, agent: Target) -> Trial:
        return Trial(target=target, agent=agent, scale=self._plan.scale, ends=self._plan.ends)

    async def _in_turn(self, measure: Measure, targets: Sequence[Target], agent: Target) -> dict[str, list[Figures]]:
        figures: dict[str, list[Figures]] = {target.name: [] for target in targets}
        rounds = measure.rounds(self._plan.scale)
        for number in range(1, rounds + 1):
            for target in targets:
                if target.name not in figures:
                    continue  # a rival that has failed in an earlier round
                with self._leaving_out_rivals(target.name, f"failed in {measure.name}", figures):
                    taken = await _taken(measure, self._trial(target, agent))
                    figures[target.name].append(taken)
                    self._tell(f"{measure.name:<8}{number}/{rounds}  {target.name:<11}", taken)
        return figures

    @contextlib.contextmanager
    def _leaving_out_rivals(
        self, name: str, what: str, figures: dict[str, list[Figures]] | None = None
    ) -> Iterator[None]:
        """Go on without a rival that fails, and say so; whatever else fails ends the run."""
        try:
            yield
        except BenchError as error:
            if name not in RIVALS:
                raise
            self._note(f"{name} {what} and is left out there: {error}")
            print(*getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            if figures is not None:
                del figures[name]

    def _tell(self, what: str, figures: Figures) -> None:
        shown = "  ".join(f"{key} {figure:,.4g}" for key, figure in figures.items())
        print(f"{time.monotonic() - self._began:4.0f} s  {what}", shown, file=sys.stderr, flush=True)

    def _note(self, note: str) -> None:
        self._notes.append(note)
        print(f"warning: {note}", file=sys.stderr, flush=True)


async def _taken(measure: Measure, trial: Trial) -> Figures:
    name = trial.target.name
    try:
        async with asyncio.timeout(trial.scale.at_most_seconds):
            figures = await measure.take(trial)
            await trial.quiet()
            return figures
    except TimeoutError as error:
        msg = f"{measure.name} of {name} took more than {trial.scale.at_most_seconds:g} s"
        raise BenchError(msg) from error
    except (BenchError, OSError) as error:
        msg = f"{measure.name} of {name}: {error}"
        raise BenchError(msg) from error
