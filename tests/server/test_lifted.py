"""Kills that were lifted are remembered for gateways that were away: not all of them, and no longer than needed."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import attrs
import pytest

from aiogate.exchange import Clock
from aiogate.server.halts import in_force
from aiogate.server.halts.in_force import TOPIC, Halts
from aiogate.state.board import MemoryBoard, MemoryTopic

DAY = 86400.0


@attrs.define(eq=False)
class Kept:
    """A topic that notes for how long each entry is kept."""

    topic: Any
    seconds: dict[str, float | None] = attrs.field(factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.topic, name)

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        self.seconds[key] = seconds
        await self.topic.put(key, value, seconds=seconds)


def at_once(work: Coroutine[Any, Any, None]) -> None:
    work.close()  # the file is not what is tested


async def opened(folder: Path) -> tuple[Halts, Kept]:
    topic = MemoryBoard().topic(TOPIC)
    assert isinstance(topic, MemoryTopic)
    halts, kept = Halts(), Kept(topic)
    await halts.open(kept, folder, Clock(), at_once)
    return halts, kept


async def lifted(halts: Halts, seconds: float | None = None) -> str:
    halt = halts.make(kind="kill", reason="it loops", actor="olga", seconds=seconds, agent="support")
    await halts.begin(halt)
    await halts.lift(halt.id)
    return halt.id


async def test_the_oldest_that_were_lifted_are_forgotten_first_and_none_that_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_force, "_MOST_LIFTED", 3)
    halts, kept = await opened(tmp_path)
    stays = halts.make(kind="kill", reason="it loops", actor="olga", agent="travel")
    await halts.begin(stays)
    names = [await lifted(halts) for _ in range(5)]
    assert set(kept.entries) == {stays.id, *names[-3:]}
    assert [halt.id for halt in halts.current()] == [stays.id]


async def test_one_that_was_lifted_is_remembered_no_longer_than_it_would_have_lasted(tmp_path: Path) -> None:
    halts, kept = await opened(tmp_path)
    short, long, endless = await lifted(halts, 600), await lifted(halts, 90 * DAY), await lifted(halts)
    assert kept.seconds[short] == pytest.approx(600, abs=60)
    assert kept.seconds[long] == kept.seconds[endless] == 30 * DAY
