"""The states that there are, each made for a clock: what is promised of ``State`` is tested on every one."""

from collections.abc import Callable
from typing import Final

from aiogate.claims import State
from aiogate.exchange import Clock
from aiogate.state.memory import MemoryState

__all__ = ["STATES", "MakeState"]

MakeState = Callable[[Clock], State]
STATES: Final[dict[str, MakeState]] = {"memory": MemoryState}
