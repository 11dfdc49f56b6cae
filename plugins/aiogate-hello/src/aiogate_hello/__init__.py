"""Greets whoever calls ``/agents/{id}/hello`` and refuses whom the config does not welcome: the tutorial plugin."""

import attrs
import orjson

from aiogate import Exchange, Refusal, Reply, hookimpl

__all__ = ["Hello", "HelloConfig"]


@attrs.frozen(kw_only=True)
class HelloConfig:
    """``[plugins.hello]``.

    Args:
        greeting: what is said before the caller's name.
        unwelcome: principals who are refused whatever they ask.
    """

    greeting: str = "Hello"
    unwelcome: tuple[str, ...] = ()


class Hello:
    """Answers for an agent, or not at all."""

    Config = HelloConfig

    def __init__(self, config: HelloConfig) -> None:
        """Keep the settings; a constructor does no I/O."""
        self._config = config

    @hookimpl
    def pre_request(self, exchange: Exchange) -> Refusal | Reply | None:
        """Refuse the unwelcome, greet who asks for it, let everything else go on."""
        name = exchange.principal.id if exchange.principal is not None else "stranger"
        if name in self._config.unwelcome:
            return Refusal(status=403, code="unwelcome", detail=f"{name} is not welcome here", rule="hello.unwelcome")
        if exchange.path == "/hello":
            return Reply(body=orjson.dumps({"greeting": f"{self._config.greeting}, {name}!"}))
        return None
