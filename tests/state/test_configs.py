"""The history of a store's configs: numbered one after the other, bounded, and of two who push at once one is told."""

import pytest

from aiogate.errors import AiogateError
from aiogate.state.board import MemoryBoard, MemoryTopic
from aiogate.state.configs import MOST_BYTES, MOST_GENERATIONS, Configs, Pushed

TEXT = {"gateway.toml": "x = 1\n", "policies/a.toml": "y = 2\n"}


@pytest.fixture
async def topic() -> MemoryTopic:
    return MemoryBoard().topic("config")


async def push(topic: MemoryTopic, files: dict[str, str] | None = None, of: int | None = None) -> Pushed:
    return await Configs(topic).push(files or TEXT, at=7.0, actor="eve", message="why", of=of)


async def test_what_was_pushed_comes_back_as_it_was(topic: MemoryTopic) -> None:
    assert Configs(topic).current() is None
    one, two = await push(topic), await push(topic, {"gateway.toml": "x = 3\n"}, of=1)
    assert Configs(topic).get(1) == one
    assert Configs(topic).current() == two
    assert (one.number, one.main, one.at, one.actor, one.message, one.of) == (
        1,
        "gateway.toml",
        7.0,
        "eve",
        "why",
        None,
    )
    assert one.text == "# file: gateway.toml\nx = 1\n\n# file: policies/a.toml\ny = 2\n"
    assert (two.number, two.of, two.text) == (2, 1, "x = 3\n")


async def test_the_oldest_go_and_numbers_go_on(topic: MemoryTopic) -> None:
    for _ in range(MOST_GENERATIONS + 3):
        await push(topic)
    numbers = Configs(topic).numbers
    assert (len(numbers), numbers[0], numbers[-1]) == (MOST_GENERATIONS, 4, MOST_GENERATIONS + 3)
    with pytest.raises(AiogateError, match=r"there is no generation 3 in the store; there are 4 to 53"):
        Configs(topic).get(3)


async def test_of_two_who_push_at_once_one_is_told(topic: MemoryTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    await push(topic)
    monkeypatch.setattr(Configs, "numbers", [])
    with pytest.raises(AiogateError, match="somebody has pushed generation 1 just now"):
        await push(topic)


async def test_what_is_too_large_or_damaged_is_said_to_be(topic: MemoryTopic) -> None:
    with pytest.raises(AiogateError, match="the config has 1048577 bytes; a store takes 1048576"):
        await push(topic, {"gateway.toml": "x" * (MOST_BYTES + 1)})
    with pytest.raises(AiogateError, match="none was pushed yet"):
        Configs(topic).get(1)
    await push(topic)
    [name] = topic.entries
    for entry in (b"", b"no such thing", topic.entries[name][:-9]):
        await topic.put(name, entry)
        with pytest.raises(AiogateError, match="generation 1 of the store cannot be read"):
            Configs(topic).current()
