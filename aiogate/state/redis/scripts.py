"""The Lua that runs in Redis, out of ``aiogate/state/lua``: one script, so that a batch is one atomic step."""

from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["source"]

_PARTS: Final = ("counter.lua", "claims.lua", "batch.lua")


@cache
def source() -> str:
    """Return the script; Redis keeps it by the SHA-1 of its text, so that gateways of several versions do not meet."""
    folder = files("aiogate.state") / "lua"
    return "\n".join((folder / part).read_text("utf-8") for part in _PARTS)
