"""Makes the circuits of several gateways one: what one opens or closes is on the board, and so happens at all of them.

For the plugin, where there is a board that others see. Knows nothing of exchanges. Changes are told in the background,
by a task of the plugin's; while the board cannot be changed each gateway judges by itself, and tells the rest later.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import attrs
import orjson

from aiogate import AiogateError, Clock, StateError, Topic
from aiogate.builtin.breaker.circuit import Hold, Told
from aiogate.builtin.breaker.circuits import Circuits, Untold

__all__ = ["TOPIC", "Fleet"]

_log: Final = logging.getLogger(__name__)
TOPIC: Final = "breakers"
_AGAIN_SECONDS: Final = 0.5


@attrs.define(eq=False)
class Fleet:
    """What one plugin hears and says.

    Args:
        circuits: those of the plugin; a reload puts others in their place.
    """

    _topic: Topic
    _circuits: Callable[[], Circuits]
    _clock: Clock

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Do as the others do, and have them do likewise."""
        circuits = self._circuits()
        circuits.untold = circuits.untold or Untold()
        end = self._topic.on_change(self._hear)
        for agent_id, value in self._topic.entries.items():
            self._hear(agent_id, value)
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._keep_telling())
            try:
                yield
            finally:
                end()
                telling.cancel()
        with suppress(StateError):
            await self._tell()

    async def _keep_telling(self) -> None:
        while True:
            untold = self._circuits().untold
            if untold is None:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS if untold.agents else None):
                    await untold.some.wait()
            untold.some.clear()
            with suppress(StateError):  # it is tried again, and the board says in the log that it is away
                await self._tell()

    async def _tell(self) -> None:
        circuits = self._circuits()
        untold = circuits.untold
        while untold is not None and untold.agents:
            agent_id = untold.agents.pop()
            circuit = circuits.get(agent_id)
            told = None if circuit is None else circuit.told(self._clock.monotonic())
            value = None if told is None else orjson.dumps(attrs.asdict(told))
            untold.same[agent_id] = value
            try:
                if value is None:
                    await self._topic.remove(agent_id)
                else:
                    await self._topic.put(agent_id, value)
            except BaseException:
                untold.agents.add(agent_id)
                raise

    def _hear(self, agent_id: str, value: bytes | None) -> None:
        """Do as the board says, unless it says what was done or said here last."""
        circuits = self._circuits()
        untold = circuits.untold
        if untold is None or (agent_id in untold.same and untold.same[agent_id] == value):
            return
        try:
            told = None if value is None else _told(value)
        except AiogateError as error:
            _log.error("breaker of agent %r: %s", agent_id, error)
            return
        untold.same[agent_id] = value
        circuits.hear(agent_id, told, self._clock.monotonic(), self._topic.age_seconds(agent_id))


def _told(value: bytes) -> Told:
    try:
        said: dict[str, Any] = orjson.loads(value)
        hold = None if said.pop("hold") is None else Hold(**orjson.loads(value)["hold"])
        return Told(**said, hold=hold)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"the board says what no breaker does: {type(error).__name__}"
        raise AiogateError(msg) from error
