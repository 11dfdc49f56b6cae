"""The store itself, for commands that need no gateway: what the config says of it, and the journal that hears of it.

Of the config only the sections are read that this takes: ``[state]``, ``[journal]`` and those of the plugins that keep
keys; nothing else has to be in order.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from aiogate.board import Board
from aiogate.errors import AiogateError, Problem, Refused, SettingsError
from aiogate.exchange import Clock
from aiogate.journal.action import encode_action
from aiogate.journal.writer import Journal
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.server.counters import open_board
from aiogate.server.key_desk import Act, ask_keys, book_of
from aiogate.settings.document import Document
from aiogate.settings.interpolate import interpolate
from aiogate.settings.model import JournalSettings, StateSettings
from aiogate.settings.structure import Structurer
from aiogate.state.keybook import Author

__all__ = ["Store", "ask_store", "opened"]

T = TypeVar("T")


@attrs.frozen
class Store:
    """What a config says of its store."""

    state: StateSettings
    journal: JournalSettings
    keepers: tuple[object, ...]

    @classmethod
    def of(cls, config: Path, environ: Mapping[str, str]) -> "Store":
        """Read a config; raises ``SettingsError`` with all that is wrong with these sections."""
        document, folder, problems = Document.read(config), config.absolute().parent, list[Problem]()
        lost = list[Problem]()
        tables = interpolate(document.tables, environ, folder, lost.append)
        structurer = Structurer(folder)

        def section(table: object, kind: type[T], path: str) -> T | None:
            missing = [problem for problem in lost if problem.path.startswith(f"{path}.")]
            problems.extend(missing)
            return None if missing else structurer.structure(table, kind, path, problems.append)

        state = section(tables.get("state", {}), StateSettings, "state")
        journal = section(tables.get("journal", {}), JournalSettings, "journal")
        keepers = []
        for name, plugin in _plugins(tables):
            if hasattr(plugin, "key_store"):
                settings = section(
                    tables.get("plugins", {}).get(name, {}), cast("Any", plugin).Config, f"plugins.{name}"
                )
                keepers += [] if settings is None else [cast("Any", plugin)(settings)]
        if problems or state is None or journal is None:
            raise SettingsError(str(config), document.in_order(problems))
        return cls(state, journal, tuple(keepers))


@asynccontextmanager
async def opened(state: StateSettings, directory: Path, clock: Clock) -> AsyncIterator[Board]:
    """Open the board; raises ``AiogateError`` where it cannot be asked."""
    board: Any = await open_board(state, directory, clock)
    try:
        if board.degraded is not None:
            msg = f"the store cannot be asked: {board.degraded}"
            raise AiogateError(msg)
        yield board
    finally:
        await board.close()


def ask_store(config: Path, act: str, key_id: str, told: Mapping[str, Any], author: tuple[str, str]) -> dict[str, Any]:
    """Do something to the keys of the store, and write down who did it; raises ``AiogateError``."""
    store = Store.of(config, os.environ)
    return asyncio.run(_ask(store, cast("Act", act), key_id, told, Author(*author)))


async def _ask(store: Store, act: Act, key_id: str, told: Mapping[str, Any], author: Author) -> dict[str, Any]:
    clock = Clock()
    journal = Journal(store.journal, clock)
    async with opened(store.state, store.journal.dir, clock) as board:
        if act not in {"list", "show"}:
            journal.open()
        try:
            book = book_of(store.keepers, board, partial(_record, journal, clock), clock)
            return await ask_keys(book, act, key_id, told, author)
        except Refused as refused:
            raise AiogateError(refused.refusal.detail) from refused
        finally:
            journal.close()


def _record(journal: Journal, clock: Clock, action: str, key_id: str, author: Author) -> None:
    journal.append(encode_action(clock.wall(), action, actor=author.actor, reason=author.reason, key_id=key_id))


def _plugins(tables: Mapping[str, Any]) -> list[tuple[str, type]]:
    """Return the plugins that a config names, as far as they are there."""
    pipeline, installed, found = tables.get("pipeline"), InstalledPlugins(), []
    for name in pipeline.get("plugins", ()) if isinstance(pipeline, dict) else ():
        try:
            found.append((str(name), installed.load(str(name))))
        except AiogateError:  # whoever serves the config hears of it
            continue
    return found
