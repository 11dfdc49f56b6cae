"""What a plugin class may answer, and the sentence that refuses what it may not."""

from typing import Any

import pytest

from aiogate import hookimpl
from aiogate.errors import PluginError
from aiogate.pipeline.inspect import hooks_of


class Fine:
    @hookimpl
    async def pre_request(self, exchange: Any) -> None: ...

    @hookimpl
    def claims(self) -> Any:
        yield from ()

    def not_a_hook(self) -> None: ...


class Misspelt:
    @hookimpl
    def pre_requst(self, exchange: Any) -> None: ...


class WrongColour:
    @hookimpl
    async def claims(self, exchange: Any) -> None: ...


class First:
    @hookimpl(tryfirst=True)
    def pre_request(self, exchange: Any) -> None: ...


class Wraps:
    @hookimpl(wrapper=True)
    def pre_request(self) -> Any:
        return (yield)


class Asks:
    @hookimpl
    def route(self, weather: Any) -> None: ...


class Generates:
    @hookimpl
    def pre_request(self) -> Any:
        yield


def test_hooks_are_found_with_their_colour_and_arguments() -> None:
    found = hooks_of(Fine)
    assert list(found) == ["pre_request", "claims"]
    assert (found["pre_request"].awaits, found["pre_request"].arguments) == (True, ("exchange",))
    assert (found["claims"].awaits, found["claims"].arguments) == (False, ())


@pytest.mark.parametrize(
    "cls, words",
    [
        (Misspelt, "no hook 'pre_requst'; did you mean 'pre_request'?"),
        (WrongColour, "must be a plain def"),
        (First, "tryfirst is refused"),
        (Wraps, "wrapper is refused"),
        (Asks, "unknown argument 'weather'; it may take exchange"),
        (Generates, "must not be a generator"),
    ],
)
def test_what_cannot_work_is_refused_at_load_with_a_remedy(cls: type, words: str) -> None:
    with pytest.raises(PluginError, match="plugin 'mine'") as refused:
        hooks_of(cls, name="mine")
    assert words in str(refused.value)
