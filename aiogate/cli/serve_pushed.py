"""The config that ``aiogate serve --state URL`` begins with: the current one of the store."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiogate.cli.shared_store import state_settings
from aiogate.cli.store import opened
from aiogate.errors import AiogateError
from aiogate.exchange import Clock
from aiogate.server.pushed import Followed
from aiogate.settings.model import StateSettings
from aiogate.settings.origin import Origin
from aiogate.state.configs import CONFIG_TOPIC, Configs, Pushed

__all__ = ["followed"]


@contextmanager
def followed(state: str, prefix: str | None, workers: int | None) -> Iterator[Followed]:
    """Have the current generation of a store ready to be read; raises ``AiogateError`` where there is none."""
    store = state_settings(state, prefix, Path())
    current = asyncio.run(_current(store))
    if current is None:
        msg = "no config was pushed to the store yet: aiogate config push FILE, or name a file to serve"
        raise AiogateError(msg)
    origin = Origin(folder=Path.cwd(), state_url=store.url.reveal(), prefix=store.prefix)
    generations = Followed(origin, os.environ, workers)
    pid = os.getpid()
    try:
        generations.write(current)
        yield generations
    finally:
        if os.getpid() == pid:  # a worker leaves this way too
            generations.close()


async def _current(store: StateSettings) -> Pushed | None:
    async with opened(store, Path(), Clock()) as board:
        return Configs(board.topic(CONFIG_TOPIC)).current()
