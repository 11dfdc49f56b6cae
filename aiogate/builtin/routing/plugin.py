"""The ``routing`` plugin: chooses among the agents that can do what a path asks for, and learns how they do.

For configs that name it. Uses public names alone. See the package for what a config looks like.
"""

import random as random_numbers
from collections.abc import Callable
from typing import Final

from aiogate import Agent, Exchange, Key, Ranked, hookimpl
from aiogate.builtin.routing.figures import Figures
from aiogate.builtin.routing.rank import Ranking
from aiogate.builtin.routing.settings import RoutingConfig

__all__ = ["Routing"]

_PENDING: Final = Key[Figures]("routing.pending")
"""The figures among whose pending exchanges this one is counted."""


class Routing:
    """Ranks candidates and counts what they have under way."""

    Config = RoutingConfig
    enforces = frozenset({"priority", "weight", "group"})

    def __init__(self, config: RoutingConfig, random: Callable[[], float] = random_numbers.random) -> None:
        """Keep the config; ``random`` gives numbers from 0 to 1, 1 excluded, for draws by weight."""
        self._config = config
        self._random = random
        self._figures: dict[str, Figures] = {}

    def inherit(self, previous: object) -> None:
        """Go on with what the plugin has learnt that the config before had in this one's place.

        Both share it from now on, as exchanges of the config before end on the plugin before.
        """
        if isinstance(previous, Routing):
            self._figures = previous._figures  # noqa: SLF001 - of the same class

    def ranking(self, exchange: Exchange) -> list[Ranked]:
        """Return the candidates, best first; nothing is taken."""
        route = self._config.route(exchange.capabilities)
        session = exchange.request_headers.get(route.header) if route.header is not None else None
        ranking = Ranking(
            route=route,
            figures=self._figures,
            random=self._random,
            now=exchange.clock.monotonic(),
            refresh_seconds=self._config.refresh_seconds,
            session=session or None,
        )
        return ranking.of(exchange.candidates)

    @hookimpl
    def route(self, exchange: Exchange) -> Agent | None:
        """Return the best candidate; of one alone there is nothing to choose."""
        if len(exchange.candidates) == 1:
            return None
        return self.ranking(exchange)[0].agent

    @hookimpl
    def claims(self, exchange: Exchange) -> tuple[()]:
        """Count the exchange as pending with its agent, and no longer with one that was tried before."""
        self._leave(exchange)
        agent = exchange.agent
        if agent is not None:
            figures = self._figures.get(agent.id)
            if figures is None:
                figures = self._figures[agent.id] = Figures()
            figures.pending += 1
            exchange[_PENDING] = figures
        return ()

    @hookimpl
    def post_response(self, exchange: Exchange) -> None:
        """Count the exchange as pending no longer, and learn from it."""
        self._leave(exchange)
        figures = self._figures.get(exchange.agent.id) if exchange.agent is not None else None
        if figures is not None:
            figures.learn(exchange, exchange.clock.monotonic(), self._config.refresh_seconds)

    @staticmethod
    def _leave(exchange: Exchange) -> None:
        figures = exchange.get(_PENDING)
        if figures is not None:
            figures.pending -= 1
            exchange.forget(_PENDING)
