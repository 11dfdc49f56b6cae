"""All measures: how each is taken, of whom, and how often.

Knows nothing of medians or targets to meet.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import attrs

from tests.bench import measured_calls, measured_memory, measured_streams
from tests.bench.gateways import PLUGGED, UPWARDS
from tests.bench.load import Load
from tests.bench.questions import CHAT, IDLE
from tests.bench.rivals import RIVALS
from tests.bench.scale import Scale
from tests.bench.trial import Figures, Trial

__all__ = ["MEASURES", "Measure", "warm_up"]


@attrs.frozen(kw_only=True)
class Measure:
    """One measure.

    Args:
        take: takes it of one target.
        often: twice in every round, in every one, in half of them, or once.
        also_direct: of the agent alone too, as the bench's own share.
        fresh: of gateways that nothing has been asked of before, because it is about memory.
        only_of: the only gateways it is about; of all when there are none.
        streams: how many streams it opens, to be left out where too few files may be open or the scale has none.
    """

    name: str
    take: Callable[[Trial], Awaitable[Figures]]
    often: Literal["twice", "every round", "half", "once"] = "every round"
    also_direct: bool = False
    fresh: bool = False
    only_of: Sequence[str] = ()
    streams: Callable[[Scale], int] | None = None

    def rounds(self, scale: Scale) -> int:
        """Return how often it is taken of each gateway."""
        every = scale.rounds
        return {"twice": 2 * every, "every round": every, "half": (every + 1) // 2, "once": 1}[self.often]


async def warm_up(trial: Trial) -> None:
    """Take the costs of a fresh process's first calls and first streams, which no figure shall hold."""
    await trial.calls(CHAT, 32, 500)
    async with trial.under(Load(mode="streams", question=IDLE, connections=50)):
        pass
    await trial.quiet()


_FOR_BULK = ("aiogate", UPWARDS, *RIVALS)

MEASURES = (
    Measure(name="call", take=measured_calls.call, also_direct=True),
    Measure(name="plugins", take=measured_calls.short_call, often="twice", only_of=("aiogate", PLUGGED)),
    Measure(name="sse", take=measured_streams.sse),
    Measure(name="latency", take=measured_calls.latency),
    Measure(
        name="paced",
        take=measured_streams.paced_streams,
        often="half",
        also_direct=True,
        streams=lambda scale: scale.many_streams,
    ),
    Measure(name="flood", take=measured_calls.flood, often="half", also_direct=True),
    Measure(name="bodies", take=measured_calls.bodies, often="half", also_direct=True),
    Measure(name="churn", take=measured_calls.churn, often="half", also_direct=True),
    Measure(name="mixed", take=measured_streams.mixed, often="half"),
    Measure(name="bulk", take=measured_memory.bulk, often="half", also_direct=True, fresh=True, only_of=_FOR_BULK),
    Measure(name="most", take=measured_streams.most, often="once", streams=lambda scale: scale.most_streams),
    Measure(name="idle", take=measured_memory.idle, often="once", fresh=True),
    Measure(name="rss", take=measured_memory.rss, often="once", fresh=True, only_of=("aiogate",)),
)
