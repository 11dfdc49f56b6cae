"""What plugins own: entered in the order of the config, left in reverse, each in one task."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiogate import hookimpl
from aiogate.errors import PluginError
from aiogate.pipeline.run import Pipeline
from aiogate.server.lifespans import Lifespans

GATEWAY: Any = None  # nobody looks at it


class Owner:
    """Owns nothing, and notes when."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes
        self.task: asyncio.Task[None] | None = None

    @hookimpl
    def lifespan(self) -> Any:
        return self._owned()

    @asynccontextmanager
    async def _owned(self) -> AsyncIterator[None]:
        self.task = asyncio.current_task()
        self.notes.append(f"{self.name} in")
        yield
        assert asyncio.current_task() is self.task
        self.notes.append(f"{self.name} out")


async def test_they_are_left_in_reverse_and_in_the_task_that_entered_them() -> None:
    notes: list[str] = []
    lifespans = await Lifespans.enter(Pipeline.of({"b": Owner("b", notes), "a": Owner("a", notes)}), GATEWAY)
    assert notes == ["b in", "a in"]
    await lifespans.leave()
    assert notes == ["b in", "a in", "a out", "b out"]


async def test_one_that_fails_is_named_and_leaves_nothing_open() -> None:
    notes: list[str] = []

    class Fallen:
        @hookimpl
        def lifespan(self) -> Any:
            raise OSError("port taken")

    pipeline = Pipeline.of({"first": Owner("first", notes), "fallen": Fallen()})
    with pytest.raises(PluginError, match="plugin 'fallen', hook 'lifespan': OSError: port taken"):
        await Lifespans.enter(pipeline, GATEWAY)
    assert notes == ["first in", "first out"]


async def test_what_is_no_context_manager_is_refused() -> None:
    class Odd:
        @hookimpl
        def lifespan(self) -> Any:
            return 3

    with pytest.raises(PluginError, match="it returned int; expected an async context manager or None"):
        await Lifespans.enter(Pipeline.of({"odd": Odd()}), GATEWAY)


async def test_a_plugin_in_two_pipelines_is_left_by_the_last() -> None:
    notes: list[str] = []
    owner = Owner("a", notes)
    first = await Lifespans.enter(Pipeline.of({"a": owner}), GATEWAY)
    second = await Lifespans.enter(Pipeline.of({"a": owner, "b": Owner("b", notes)}), GATEWAY, first)
    await first.leave()
    assert notes == ["a in", "b in"]
    await second.leave()
    assert notes == ["a in", "b in", "b out", "a out"]


async def test_one_that_ends_before_its_time_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Brittle:
        @hookimpl
        def lifespan(self) -> Any:
            return self._owned()

        @asynccontextmanager
        async def _owned(self) -> AsyncIterator[None]:
            async with asyncio.TaskGroup() as group:
                group.create_task(broken.wait()).add_done_callback(lambda _: group.create_task(fail()))
                yield

    async def fail() -> None:
        raise ValueError("broken")

    broken = asyncio.Event()
    lifespans = await Lifespans.enter(Pipeline.of({"brittle": Brittle()}), GATEWAY)
    assert list(lifespans.failed()) == []
    broken.set()
    while not list(lifespans.failed()):
        await asyncio.sleep(0)
    assert list(lifespans.failed()) == ["brittle"]
    assert "plugin 'brittle': its lifespan has ended before its time" in caplog.text
    await lifespans.leave()


async def test_an_entry_that_is_cancelled_leaves_nothing_open() -> None:
    notes: list[str] = []
    reached = asyncio.Event()

    class Slow:
        @hookimpl
        def lifespan(self) -> Any:
            return self._owned()

        @asynccontextmanager
        async def _owned(self) -> AsyncIterator[None]:
            try:
                reached.set()
                await asyncio.Event().wait()
                yield
            finally:
                notes.append("slow out")

    pipeline = Pipeline.of({"first": Owner("first", notes), "slow": Slow()})
    entering = asyncio.create_task(Lifespans.enter(pipeline, GATEWAY))
    await reached.wait()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert notes == ["first in", "slow out", "first out"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
