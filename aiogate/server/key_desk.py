"""What operators ask of the keys, in JSON, whether they ask the admin listener or the store itself.

A plugin keeps keys that has the method of ``KeepsKeys`` here; which one that is nobody here knows.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar, runtime_checkable

import attrs

from aiogate.board import Board
from aiogate.errors import Problem, Refused, refusal
from aiogate.exchange import Clock
from aiogate.pepper import Pepper
from aiogate.settings.structure import Structurer
from aiogate.state.keybook import Author, KeyBook, Rotation, Wanted
from aiogate.stored_key import KEYS_TOPIC

__all__ = ["Act", "KeepsKeys", "ask_keys", "book_of"]

T = TypeVar("T")
Act = Literal["list", "show", "create", "rotate", "revoke"]
Record = Callable[[str, str, Author], None]
"""Writes down an action on a key before it is done; raises ``AiogateError``: then it is not."""
_WARNING: Final = "the key is shown once: give it to its principal now"


@runtime_checkable
class KeepsKeys(Protocol):
    """What a plugin has to have."""

    def key_store(self) -> tuple[Pepper, frozenset[str]] | None:
        """Return what keys are made with, and ids that are taken; None: it is told to let in no keys of the store."""
        ...


@attrs.frozen(kw_only=True)
class _Killing:
    kill: bool = False


def book_of(plugins: Iterable[object], board: Board, record: Record, clock: Clock) -> KeyBook:
    """Return the keys that one of the plugins lets in; raises ``Refused`` where none would."""
    keepers = [plugin for plugin in plugins if isinstance(plugin, KeepsKeys)]
    if not keepers:
        raise Refused(refusal("not_found", 'no plugin in pipeline.plugins lets in keys of the store: add "api_keys"'))
    store = keepers[0].key_store()
    if store is None:
        raise Refused(refusal("not_found", "plugins.api_keys.store is false: keys of the store would let nobody in"))
    pepper, taken = store

    return KeyBook(board.topic(KEYS_TOPIC), pepper, clock, record, taken)


async def ask_keys(book: KeyBook, act: Act, key_id: str, told: Mapping[str, Any], author: Author) -> dict[str, Any]:
    """Do what is asked for, and return what is known then; raises ``Refused``, or what ``record`` does.

    A key that was made is in ``key``, and there alone.
    """
    match act:
        case "list":
            return {"keys": book.list()}
        case "show":
            return book.show(key_id)
        case "revoke":
            return await book.revoke(key_id, author, kills=_read(told, _Killing).kill)
        case "create":
            key, known = await book.create(_read(told, Wanted), author)
        case "rotate":
            key, known = await book.rotate(key_id, _read(told, Rotation), author)
    return {"key": key, **known, "note": _WARNING}


def _read(told: Mapping[str, Any], kind: type[T]) -> T:
    """Return what is asked for; raises ``Refused`` with all that is wrong with it."""
    table = {name: _plain(name, value) for name, value in told.items() if value is not None}
    problems = list[Problem]()
    found = Structurer(Path()).structure(table, kind, "", problems.append)
    if found is None:
        members = {"problems": [attrs.asdict(problem) for problem in problems]}
        raise Refused(refusal("bad_request", "; ".join(map(str, problems)), members=members))
    return found


def _plain(name: str, value: object) -> object:
    """Return a value as a config would hold it: JSON has texts for times, and binary numbers."""
    if name == "expires" and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return Decimal(repr(value)) if isinstance(value, float) else value
