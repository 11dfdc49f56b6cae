"""One config in force: its number, its settings and the pipeline built from them."""

from collections.abc import Mapping

import attrs

from aiogate.exchange import Agent, Clock
from aiogate.pipeline.run import Pipeline
from aiogate.settings.model import Settings

__all__ = ["Generation"]


@attrs.frozen(kw_only=True)
class Generation:
    """What an exchange begins with and ends on, even when another config comes into force meanwhile.

    It is also what ``lifespan`` gets to see of the gateway.
    """

    number: int
    settings: Settings
    pipeline: Pipeline
    clock: Clock

    @property
    def generation(self) -> int:
        """The number, by the name that plugins know."""
        return self.number

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents of the config, by id."""
        return self.settings.agents
