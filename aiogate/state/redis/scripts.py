"""The Lua that runs in Redis, out of ``aiogate/state/lua``: one script for all counters, as a batch is one step."""

from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["board_source", "central_source", "source"]

_PARTS: Final = ("counter.lua", "claims.lua", "batch.lua")


@cache
def source() -> str:
    """Return the script; Redis keeps it by the SHA-1 of its text, so that gateways of several versions do not meet."""
    return "\n".join(_read(part) for part in _PARTS)


@cache
def board_source() -> str:
    """Return the script of the board."""
    return _read("board.lua")


@cache
def central_source() -> str:
    """Return the script of the journals' centre."""
    return _read("central.lua")


def _read(name: str) -> str:
    return (files("aiogate.state") / "lua" / name).read_text("utf-8")
