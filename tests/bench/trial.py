"""One target under one load: what every measure is made of.

Knows the load generator and the accounting; knows nothing of what is asked, of rounds or of targets to meet.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from tests.bench.accounting import Spent, Window
from tests.bench.ends import Ends
from tests.bench.framing import BenchError
from tests.bench.gateways import Target
from tests.bench.load import Counted, Load, Running, running
from tests.bench.questions import Question
from tests.bench.scale import Scale

__all__ = ["Figures", "Trial"]

Figures = dict[str, float]

_QUIET_PERCENT = 10.0
_QUIET_WINDOW_SECONDS = 0.02
_QUIET_AFTER_SECONDS = 3.0


@attrs.frozen(kw_only=True)
class Trial:
    """One target at one time, the agent behind it, and how long and with what it is tried."""

    target: Target
    agent: Target
    scale: Scale
    ends: Ends

    @asynccontextmanager
    async def under(self, load: Load) -> AsyncIterator[Running]:
        """Put a load on the target while the block lasts."""
        async with running(load, self.target.port, self.ends) as generator:
            yield generator

    async def without_gateway(self, load: Load, seconds: float) -> Counted:
        """Return what a load on the agent itself counted within so long, after the warm-up."""
        async with running(load, self.agent.port, self.ends) as generator:
            await asyncio.sleep(self.scale.warm_seconds)
            await generator.mark()
            await asyncio.sleep(seconds)
            return await generator.stop()

    async def window(self, generator: Running, seconds: float) -> tuple[Counted, Spent]:
        """Return what the load counted within so long, and what the target's processes took for it."""
        await generator.mark()
        window = Window(self.target.session)
        await asyncio.sleep(seconds)
        spent = window.close()
        return await generator.mark(), spent

    async def saturated(
        self, question: Question, connections: int, seconds: float, *, churn: bool = False
    ) -> tuple[float, Spent]:
        """Return how many calls were answered, each sent as soon as the one before was, and what they took."""
        load = Load(mode="churn" if churn else "calls", question=question, connections=connections)
        async with self.under(load) as generator:
            await asyncio.sleep(self.scale.warm_seconds)
            counted, spent = await self.window(generator, seconds)
            await generator.stop()
        if not counted["answers"]:
            msg = f"nothing was answered within {seconds:g} s"
            raise BenchError(msg)
        return counted["answers"], spent

    async def calls(self, question: Question, connections: int, count: int) -> Counted:
        """Return what was counted while so many calls were answered."""
        load = Load(mode="calls", question=question, connections=connections, calls=count)
        async with self.under(load) as generator:
            return await generator.last()

    async def quiet(self) -> None:
        """Wait until the target has done with what the load has left behind: the next one's turn shall be its own."""
        deadline = time.monotonic() + _QUIET_AFTER_SECONDS
        while time.monotonic() < deadline:
            window = Window(self.target.session)
            await asyncio.sleep(_QUIET_WINDOW_SECONDS)
            if window.close().busy_percent < _QUIET_PERCENT:
                return
