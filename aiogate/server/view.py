"""What plugins get to see of the gateway that runs them, from ``lifespan`` on.

Knows no plugin; ``aiogate.Gateway`` is the promise that it keeps.
"""

from collections.abc import Iterable, Mapping

import attrs

from aiogate.agent import Agent
from aiogate.board import Board
from aiogate.claims import State
from aiogate.exchange import Clock
from aiogate.hookspecs import Spent
from aiogate.server.generation import Generation
from aiogate.server.house import House
from aiogate.server.spent import spent_since

__all__ = ["View"]


@attrs.frozen(eq=False)
class View:
    """One config in force and the house that it serves in."""

    _generation: Generation
    _house: House

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents of the config, by id."""
        return self._generation.agents

    @property
    def clock(self) -> Clock:
        """The clock that everything here goes by."""
        return self._generation.clock

    @property
    def generation(self) -> int:
        """How many configs have been in force, this one included."""
        return self._generation.number

    @property
    def plugins(self) -> Mapping[str, object]:
        """The plugins of the config, by name."""
        return self._generation.pipeline.plugins

    @property
    def state(self) -> State:
        """The counters."""
        return self._house.state

    def tell(self, event: str, *, agent: str | None = None, principal: str | None = None, **facts: object) -> None:
        """Let those know of something who follow the events."""
        self._house.events.tell(event, agent=agent, principal=principal, **facts)

    @property
    def board(self) -> Board:
        """The board."""
        return self._house.board

    def spent(self, since: float) -> Iterable[Spent]:
        """Return what exchanges have used that started at ``since`` or later."""
        return spent_since(self._generation.settings, since, self.clock.wall())
