"""The stages: the config's order, what ends the walk, what happens to one that raises."""

import asyncio
import itertools
from typing import Any

import pytest

from aiogate import Reply, hookimpl, refusal
from aiogate.errors import PluginError, Refused
from aiogate.pipeline.run import Pipeline
from tests.exchanges import an_agent, an_exchange


class Notes:
    """Writes down when it is called."""

    def __init__(self, name: str, notes: list[str], answer: Any = None) -> None:
        self.name, self.notes, self.answer = name, notes, answer

    @hookimpl
    async def pre_request(self) -> Any:
        self.notes.append(f"{self.name} pre")
        return self.answer

    @hookimpl
    def response_started(self) -> Any:
        return lambda chunk: self.notes.append(f"{self.name} saw {chunk!r}")

    @hookimpl
    def post_response(self) -> None:
        self.notes.append(f"{self.name} post")


class Fails:
    @hookimpl
    def pre_request(self) -> None:
        raise ValueError("no")

    @hookimpl
    def route(self) -> None:
        raise ValueError("no")

    @hookimpl
    def claims(self) -> None:
        raise ValueError("no")

    @hookimpl
    def response_started(self) -> Any:
        def observe(chunk: bytes) -> None:
            raise ValueError(chunk)

        return observe

    @hookimpl
    def post_response(self) -> None:
        raise ValueError("no")


async def test_the_order_of_the_config_is_the_order_of_the_stages() -> None:
    notes: list[str] = []
    pipeline = Pipeline.of({"b": Notes("b", notes), "a": Notes("a", notes)})
    assert await pipeline.pre_request(an_exchange()) is None
    await pipeline.post_response(an_exchange())
    assert notes == ["b pre", "a pre", "a post", "b post"]


async def test_an_answer_ends_the_walk() -> None:
    notes: list[str] = []
    no = refusal("policy_denied", "no")
    pipeline = Pipeline.of({"b": Notes("b", notes, no), "a": Notes("a", notes)})
    assert await pipeline.pre_request(an_exchange()) is no
    assert notes == ["b pre"]


async def test_the_walk_ends_with_the_softest_refusal_when_no_candidate_is_left() -> None:
    never, soon = refusal("policy_denied", "never"), refusal("agent_unavailable", "soon", retry_after_seconds=9.0)

    class Rules:
        @hookimpl
        def pre_request(self, exchange: Any) -> None:
            for agent, why in zip(list(exchange.candidates), (never, soon), strict=True):
                exchange.rule_out(agent, why)

    notes: list[str] = []
    pipeline = Pipeline.of({"rules": Rules(), "later": Notes("later", notes)})
    exchange = an_exchange(candidates=[an_agent("one"), an_agent("two")])
    assert await pipeline.pre_request(exchange) is soon
    assert notes == []


def saying(verdict: Any, *, awaits: bool, heard: list[Any]) -> Any:
    """Return a plugin with one verdict: what it returns or raises, or ``"lost"`` for ruling out all candidates."""

    def said(exchange: Any) -> Any:
        heard.append(verdict)
        if isinstance(verdict, Exception):
            raise verdict
        if verdict == "lost":
            for agent in list(exchange.candidates):
                exchange.rule_out(agent, refusal("agent_unavailable", "lost"))
            return None
        return verdict

    class AtOnce:
        @hookimpl
        def pre_request(self, exchange: Any) -> Any:
            return said(exchange)

    class Later:
        @hookimpl
        async def pre_request(self, exchange: Any) -> Any:
            await asyncio.sleep(0)
            return said(exchange)

    return Later() if awaits else AtOnce()


VERDICTS = (
    None,
    refusal("policy_denied", "no"),
    Reply(body=b"yes"),
    "lost",
    5,
    Refused(refusal("policy_denied", "raised")),
    PluginError("another", "went wrong", hook="lifespan"),
    ValueError("no"),
)


@pytest.mark.parametrize("second", VERDICTS)
@pytest.mark.parametrize("first", VERDICTS)
async def test_it_ends_alike_whether_plugins_have_to_wait_or_not(first: Any, second: Any) -> None:
    found = []
    for waits in itertools.product((False, True), repeat=3):
        heard: list[Any] = []
        verdicts = zip((None, first, second), waits, strict=True)
        plugins = {f"p{i}": saying(one, awaits=awaits, heard=heard) for i, (one, awaits) in enumerate(verdicts)}
        pipeline = Pipeline.of(plugins)
        try:
            ended = await pipeline.pre_request(an_exchange())
        except PluginError as error:
            ended = str(error)  # type: ignore[assignment]
        found.append((ended, heard, pipeline.times.errors))
    assert all(one == found[0] for one in found)


def test_without_a_plugin_that_waits_there_is_nothing_to_await() -> None:
    heard: list[Any] = []
    no = refusal("policy_denied", "no")
    plugins = {"a": saying(None, awaits=False, heard=heard), "b": saying(no, awaits=False, heard=heard)}
    assert Pipeline.of(plugins).asked(an_exchange()) is no


async def test_one_that_raises_before_the_agent_is_named() -> None:
    pipeline = Pipeline.of({"fails": Fails()})
    exchange = an_exchange()
    with pytest.raises(PluginError, match="plugin 'fails', hook 'pre_request': ValueError: no"):
        await pipeline.pre_request(exchange)
    with pytest.raises(PluginError, match="hook 'route'"):
        await pipeline.route(exchange)
    with pytest.raises(PluginError, match="hook 'claims'"):
        pipeline.claims(exchange)


async def test_one_that_raises_after_the_agent_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    pipeline = Pipeline.of({"fails": Fails(), "notes": Notes("notes", notes)})
    observe = pipeline.observers(an_exchange())
    assert observe is not None
    observe(b"1")
    observe(b"2")
    await pipeline.post_response(an_exchange())
    assert notes == ["notes saw b'1'", "notes saw b'2'", "notes post"]
    assert caplog.text.count("plugin 'fails' stopped observing") == 1
    assert "plugin 'fails' failed in post_response" in caplog.text


async def test_a_route_out_of_the_candidates_is_refused_and_the_first_candidate_is_the_default() -> None:
    class Elsewhere:
        @hookimpl
        def route(self) -> Any:
            return an_agent("elsewhere")

    exchange = an_exchange(candidates=[an_agent("one"), an_agent("two")])
    with pytest.raises(PluginError, match="not a candidate"):
        await Pipeline.of({"elsewhere": Elsewhere()}).route(exchange)
    assert (await Pipeline.of({}).route(exchange)).id == "one"
