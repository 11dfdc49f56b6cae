"""Where an exchange would go first, second and so on, for those who explain; nothing is decided or taken.

Knows which plugins can say so; nothing of how they rank.
"""

from aiogate.errors import PluginError
from aiogate.exchange import Exchange
from aiogate.hookspecs import Ranked
from aiogate.pipeline.run import Pipeline

__all__ = ["ranking_of"]


def ranking_of(exchange: Exchange, pipeline: Pipeline) -> tuple[str, tuple[Ranked, ...]]:
    """Return the plugin that ranks the candidates, ``""`` for the order of the config, and its ranking.

    Raises ``PluginError``.
    """
    for name, _, _ in pipeline.stages.route:
        rank = getattr(pipeline.plugins[name], "ranking", None)
        try:
            ranked = rank(exchange) if rank is not None else None
        except Exception as error:  # the border to plugins
            raise PluginError(name, f"{type(error).__name__}: {error}", hook="ranking") from error
        if ranked is not None:
            return name, tuple(ranked)
    return "", tuple(Ranked(agent=agent, reason="in the order of the config") for agent in exchange.candidates)
