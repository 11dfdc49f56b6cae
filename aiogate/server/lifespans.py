"""What the plugins of one pipeline own while it is in force: each lifespan in a task that enters and leaves it.

For the gateway's start, its reloads and its end. Knows nothing of what a plugin owns.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Self

import attrs

from aiogate.errors import PluginError
from aiogate.hookspecs import Gateway
from aiogate.pipeline.run import Pipeline

__all__ = ["Lifespans"]

_log: Final = logging.getLogger(__name__)


@attrs.define(eq=False)
class _Keeper:
    """Keeps one plugin's context open, in one task: a task group in it must be left where it was entered."""

    plugin: str
    _context: AbstractAsyncContextManager[object]
    holders: int = 0
    """How many pipelines the plugin is in."""
    _entered: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _leaving: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    @property
    def is_alive(self) -> bool:
        """Whether the context is open, or was left because it should be."""
        return self._leaving.is_set() or (self._task is not None and not self._task.done())

    async def enter(self) -> None:
        """Enter the context; raises ``PluginError``, and leaves nothing behind when it raises or is cancelled."""
        loop = asyncio.get_running_loop()
        task = self._task = loop.create_task(self._keep())
        entered = loop.create_task(self._entered.wait())
        try:
            await asyncio.wait({task, entered}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            entered.cancel()
        if not self._entered.is_set():
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            raise PluginError(self.plugin, f"{type(error).__name__}: {error}", hook="lifespan") from error

    async def leave(self) -> None:
        """Leave the context; what it raises is logged."""
        self._leaving.set()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _keep(self) -> None:
        try:
            async with self._context:
                self._entered.set()
                await self._leaving.wait()
        except Exception:
            if not self._entered.is_set():
                raise
            _log.exception("plugin %r: what it owns has failed", self.plugin)
        finally:
            if self._entered.is_set() and not self._leaving.is_set():
                _log.error("plugin %r: its lifespan has ended before its time", self.plugin)


@attrs.define(eq=False)
class Lifespans:
    """The lifespans of one pipeline, entered in its order and left in reverse."""

    _entered: list[tuple[object, _Keeper | None]] = attrs.field(factory=list)
    """Each plugin that has the hook, with what it owns."""

    @classmethod
    async def enter(cls, pipeline: Pipeline, gateway: Gateway, before: Self | None = None) -> Self:
        """Enter what the plugins own; raises ``PluginError`` for the one that fails, with nothing left open.

        ``before`` are those of the pipeline before: a plugin that is in both goes on, and is left by the last.
        """
        lifespans = cls()
        known = {} if before is None else {id(plugin): keeper for plugin, keeper in before._entered}  # noqa: SLF001 - of the same class
        try:
            for name, call, _ in pipeline.stages.lifespan:
                plugin = pipeline.plugins[name]
                keeper = known[id(plugin)] if id(plugin) in known else await _entered(name, call, gateway)
                lifespans._entered.append((plugin, keeper))
                if keeper is not None:
                    keeper.holders += 1
        except BaseException:
            await lifespans.leave()
            raise
        return lifespans

    async def leave(self) -> None:
        """Leave all that no other pipeline holds."""
        while self._entered:
            _, keeper = self._entered.pop()
            if keeper is not None:
                keeper.holders -= 1
                if not keeper.holders:
                    await keeper.leave()

    def failed(self) -> Iterator[str]:
        """Yield the plugins whose lifespan has ended before its time."""
        return (keeper.plugin for _, keeper in self._entered if keeper is not None and not keeper.is_alive)


async def _entered(name: str, call: Callable[[Gateway], object], gateway: Gateway) -> _Keeper | None:
    try:
        context = call(gateway)
    except Exception as error:  # the border to plugins: a start that fails names its plugin
        raise PluginError(name, f"{type(error).__name__}: {error}", hook="lifespan") from error
    if context is None:
        return None
    if not isinstance(context, AbstractAsyncContextManager):
        message = f"it returned {type(context).__name__}; expected an async context manager or None"
        raise PluginError(name, message, hook="lifespan")
    keeper = _Keeper(name, context)
    await keeper.enter()
    return keeper
