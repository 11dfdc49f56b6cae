"""Where a config is that did not come as a file of this machine's: out of a store; for the loader."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from aiogate.errors import Problem

__all__ = ["Origin"]


@attrs.frozen(kw_only=True)
class Origin:
    """What is known of a config before it is read.

    Args:
        folder: where its relative paths start, in the place of that of its file.
        state_url: of the store that it came from, which is the state of who serves it; whatever it says itself.
        prefix: of that store's keys; None: as the config says.
        elsewhere: is told of references that lead nowhere here, where others will read the config: what depends on
            them is not looked into. None: they are problems.
    """

    folder: Path
    state_url: str
    prefix: str | None = None
    elsewhere: Callable[[Problem], None] | None = None

    def put_into(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tables of a config with the state in them that it came from."""
        state = tables.get("state", {})
        if not isinstance(state, dict):
            return dict(tables)
        mine = {"url": self.state_url} | ({} if self.prefix is None else {"prefix": self.prefix})
        return {**tables, "state": {**state, **mine}}
