"""The typed facade over the compiled stages: one method per hook, for the server.

Knows what a plugin may answer and what happens when it raises; nothing of HTTP.
"""

import logging
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final, Self

import attrs

from aiogate.agent import Agent
from aiogate.claims import Claim
from aiogate.errors import PluginError, Refusal, Refused
from aiogate.exchange import Exchange, Reply
from aiogate.hookspecs import Observer
from aiogate.pipeline.compile import Stages, Step, compile_stages
from aiogate.pipeline.timing import HookTimes

__all__ = ["Pipeline"]

Ended = Refusal | Reply | None
"""What ends an exchange before it is sent anywhere; None: nothing does."""

_log: Final = logging.getLogger(__name__)


@attrs.define
class Pipeline:
    """What the enabled plugins answer, stage by stage; for a moment now and then with stop-watches in ``stages``."""

    plugins: dict[str, object]
    stages: Stages
    times: HookTimes = attrs.field(factory=HookTimes, eq=False)
    _plain: Stages | None = attrs.field(default=None, init=False, eq=False)

    @classmethod
    def of(cls, plugins: dict[str, object]) -> Self:
        """Compile plugins, given by name in the order of the config."""
        return cls(plugins, compile_stages(plugins))

    def sample(self) -> None:
        """Time the next calls of hooks, some of them."""
        if self._plain is None:
            self._plain = self.stages
        self.stages = self.times.timed(self._plain, self._rest)

    def _rest(self) -> None:
        if self._plain is not None:
            self.stages = self._plain

    async def pre_request(self, exchange: Exchange) -> Refusal | Reply | None:
        """Ask the plugins until one ends the walk; raises ``PluginError``."""
        ended = self.asked(exchange)
        return ended if ended is None or isinstance(ended, (Refusal, Reply)) else await ended

    def asked(self, exchange: Exchange, steps: Iterator[Step] | None = None) -> Ended | Awaitable[Ended]:
        """Do what ``pre_request`` does; where a plugin has to wait for something, return what is to be awaited.

        ``steps`` are those of the plugins whose turn has not come; None: all.
        """
        name = ""
        if steps is None:
            steps = iter(self.stages.pre_request)
        try:
            for name, call, awaits in steps:
                answer = call(exchange)
                if awaits:
                    return self._awaited(exchange, steps, name, answer)
                if answer is not None:
                    return _checked(name, answer)
                if not exchange.candidates:
                    return exchange.softest_refusal
        except Exception as error:  # noqa: BLE001 - the border to plugins: one that raises refuses the exchange
            return self._refused_by(name, error)
        return None

    async def _awaited(self, exchange: Exchange, steps: Iterator[Step], name: str, answering: Awaitable[Any]) -> Ended:
        """Wait for a plugin, then ask those behind it."""
        try:
            answer = await answering
            if answer is not None:
                return _checked(name, answer)
            if not exchange.candidates:
                return exchange.softest_refusal
        except Exception as error:  # noqa: BLE001 - likewise
            return self._refused_by(name, error)
        ended = self.asked(exchange, steps)
        return ended if ended is None or isinstance(ended, (Refusal, Reply)) else await ended

    def _refused_by(self, name: str, error: Exception) -> Refusal:
        """Return what a plugin has refused by raising it; raises ``PluginError`` for anything else."""
        if isinstance(error, Refused):
            return error.refusal
        self.times.failed(name, "pre_request")
        if isinstance(error, PluginError):
            raise error
        raise PluginError(name, f"{type(error).__name__}: {error}", hook="pre_request") from error

    async def route(self, exchange: Exchange) -> Agent:
        """Return the agent that serves, out of at least one candidate; raises ``PluginError`` or ``Refused``."""
        if not self.stages.route:
            return exchange.candidates[0]
        name = ""
        try:
            for name, call, awaits in self.stages.route:  # noqa: B007 - the handler names the plugin
                agent = await call(exchange) if awaits else call(exchange)
                if agent is not None:
                    break
            else:
                return exchange.candidates[0]
        except Refused:
            raise
        except Exception as error:  # the border to plugins
            self.times.failed(name, "route")
            raise PluginError(name, f"{type(error).__name__}: {error}", hook="route") from error
        if agent not in exchange.candidates:
            self.times.failed(name, "route")
            raise PluginError(name, "it chose an agent that is not a candidate", hook="route")
        return agent  # type: ignore[no-any-return] # it is one of the candidates

    def claims(self, exchange: Exchange) -> Sequence[Claim]:
        """Return what all plugins together claim; raises ``PluginError`` or ``Refused``."""
        claims: list[Claim] = []
        name = ""
        try:
            for name, call, _ in self.stages.claims:  # noqa: B007 - the handler names the plugin
                claims.extend(call(exchange) or ())
        except Refused:
            raise
        except Exception as error:  # the border to plugins
            self.times.failed(name, "claims")
            raise PluginError(name, f"{type(error).__name__}: {error}", hook="claims") from error
        return claims

    def observers(self, exchange: Exchange) -> Observer | None:
        """Return the observers of this response; a plugin that raises is logged and does not observe."""
        observers: list[tuple[str, Observer]] = []
        for name, call, _ in self.stages.response_started:
            try:
                observer = call(exchange)
            except Exception:  # noqa: BLE001 - the border to plugins: the stream goes on
                self.times.failed(name, "response_started")
                _log.exception("plugin %r failed in response_started of %s", name, exchange.id)
            else:
                if observer is not None:
                    observers.append((name, observer))
        return _Observers(observers, exchange.id, self.times).seen if observers else None

    async def post_response(self, exchange: Exchange) -> None:
        """Tell every plugin how the exchange ended; what one raises is logged."""
        for name, call, awaits in self.stages.post_response:
            try:
                result = call(exchange)
                if awaits:
                    await result
            except Exception:  # noqa: BLE001 - the border to plugins: the others are still told
                self.times.failed(name, "post_response")
                _log.exception("plugin %r failed in post_response of %s", name, exchange.id)


def _checked(name: str, answer: Any) -> Refusal | Reply:  # noqa: ANN401 - a plugin may return anything
    if isinstance(answer, (Refusal, Reply)):
        return answer
    message = f"it returned {type(answer).__name__}; expected None, a Refusal or a Reply"
    raise PluginError(name, message, hook="pre_request")


class _Observers:
    """The observers of one response as one; one that has raised is logged and called no more."""

    __slots__ = ("_each", "_only", "_request_id", "_times")

    def __init__(self, each: list[tuple[str, Observer]], request_id: str, times: HookTimes) -> None:
        self._each = each
        self._only = each[0][1]
        self._request_id = request_id
        self._times = times

    @property
    def seen(self) -> Observer:
        """What shows a chunk to all of them."""
        return self._show if len(self._each) > 1 else self._show_only

    def _show(self, chunk: bytes) -> None:
        for name, observe in self._each:
            try:
                observe(chunk)
            except Exception:  # noqa: BLE001 - the border to plugins: a chunk is never held back by one
                self._each = [other for other in self._each if other[0] != name]
                self._failed(name)

    def _show_only(self, chunk: bytes) -> None:
        try:
            self._only(chunk)
        except Exception:  # noqa: BLE001 - as above
            self._only = _nobody
            self._failed(self._each[0][0])

    def _failed(self, name: str) -> None:
        self._times.failed(name, "observer")
        _log.exception("plugin %r stopped observing %s", name, self._request_id)


def _nobody(chunk: bytes) -> None:
    del chunk
