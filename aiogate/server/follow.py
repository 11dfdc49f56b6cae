"""Follows the files of a config, and asks for a reload when they have changed; for ``aiogate serve --watch``.

Knows files by their names, sizes and times, and nothing of what is in them but ``include``. A directory is watched, not
a file: editors and ConfigMaps put a new file, or a link to one, in the place of the old.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final, Protocol, Self

import attrs

from aiogate.errors import SettingsError
from aiogate.server.siblings import Siblings
from aiogate.server.together import Together
from aiogate.settings.document import included
from aiogate.settings.model import Settings
from aiogate.settings.read import read_tables, read_text

__all__ = ["Look", "follow"]

_log: Final = logging.getLogger(__name__)
_QUIET_MS: Final = 50
"""So long nothing more may happen: who writes a file in pieces has written it whole."""
_MOST_MS: Final = 1000
_LOOK_MS: Final = 1000
"""Between two looks of our own: some changes raise no event, as a link on the way to the directory."""

Stamp = tuple[int, int, int] | None
_MAGIC: Final = frozenset("*?[")


class Followed(Protocol):
    """The gateway, as far as its config is concerned."""

    siblings: Siblings
    together: Together

    @property
    def settings(self) -> Settings:
        """The config in force."""
        ...


@attrs.frozen
class Look:
    """What the files of a config looked like, and which directories they are in."""

    main: Stamp
    include: tuple[str, ...]
    files: tuple[tuple[Path, Stamp], ...]
    folders: tuple[Path, ...]

    @classmethod
    def at(cls, path: Path, before: Self | None = None) -> Self:
        """Look at a config and what it includes; ``before`` tells the latter while the main file is no TOML. Blocks."""
        main = _stamp(path)
        include = before.include if before is not None else ()
        if before is None or main != before.main:
            with suppress(SettingsError):
                patterns = read_tables(path, read_text(path)).get("include", [])
                include = tuple(map(str, patterns)) if isinstance(patterns, list) else ()
        files = [file for file in included(path, list(include)) if isinstance(file, Path)]
        parents = {path.parent, *(file.parent for file in files), *(path.parent / _fixed(each) for each in include)}
        folders = tuple(sorted(folder for folder in parents if folder.is_dir()))
        return cls(main, include, tuple((file, _stamp(file)) for file in files), folders)


async def follow(gateway: Followed, seen: Look) -> None:
    """Reload whenever the config's files have changed, until cancelled; ``seen`` is from before the first load."""
    from watchfiles import awatch  # noqa: PLC0415 - heavy, and only for those who ask for it

    # it logs each change in the directory, which may be where the log is written: each line would be the next change
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    while True:
        watching = awatch(
            *seen.folders,
            watch_filter=None,
            recursive=False,
            step=_QUIET_MS,
            debounce=_MOST_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
        )
        try:
            async with aclosing(watching):
                seen = await _reloaded(gateway, watching, seen)
        except (OSError, RuntimeError) as error:  # watchfiles', of a directory that has gone
            _log.warning("the config cannot be watched now: %s", error)
            await asyncio.sleep(_LOOK_MS / 1000)
            seen = attrs.evolve(await asyncio.to_thread(Look.at, gateway.settings.path, seen), main=seen.main)


async def _reloaded(gateway: Followed, watching: AsyncGenerator[object, None], seen: Look) -> Look:
    """Reload at each change; return when other directories have to be watched."""
    before = seen
    async for changes in watching:
        now = await asyncio.to_thread(Look.at, gateway.settings.path, seen)
        # without an event to say that somebody has finished writing, a second look does
        if now != seen and (changes or now == before):
            if await gateway.siblings.is_eldest():
                await gateway.together.reload("watch")
            if now.folders != seen.folders:
                return now
            seen = now
        before = now
    return seen


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _fixed(pattern: str) -> Path:
    """Return the directory that a pattern begins with."""
    steps = Path(pattern).parent.parts
    return Path(*itertools.takewhile(_MAGIC.isdisjoint, steps))
