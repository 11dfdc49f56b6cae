"""The plugin: hears of each exchange's end, and owns the way to the collector."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from typing import Final

import attrs

from aiogate import Exchange, Gateway, hookimpl
from aiogate_otel.exporters import is_disabled, meters, tracers
from aiogate_otel.meters import Meters
from aiogate_otel.spans import Ids, Spans

__all__ = ["Otel", "OtelConfig"]

_log: Final = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class OtelConfig:
    """``[plugins.otel]``. Where it all goes is said by the usual variables, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``.

    Args:
        providers: ``gen_ai.provider.name`` of agents, by their id, such as ``{ chat = "openai" }``; else it is the id.
        names_callers: say in spans who called (``user.id``) and from which department.
        resource: further attributes of the resource, beside those of ``OTEL_RESOURCE_ATTRIBUTES``.
        flush_seconds: how long the gateway waits for the collector when it stops.
    """

    providers: Mapping[str, str] = attrs.field(factory=dict)
    names_callers: bool = True
    resource: Mapping[str, str] = attrs.field(factory=dict)
    flush_seconds: float = attrs.field(default=5.0, validator=attrs.validators.ge(0))


class Otel:
    """Exports spans and metrics of each exchange when it has ended: nothing is done while it is under way."""

    Config = OtelConfig
    outlives_reload = True

    def __init__(self, config: OtelConfig) -> None:
        """Keep the settings; the exporters are made when the gateway starts."""
        self._config = config
        self._spans: Spans | None = None
        self._meters: Meters | None = None

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[object] | None:  # noqa: ARG002 - the hook's
        """Make the exporters, and flush them in the end."""
        return None if is_disabled() else self._run()

    @hookimpl
    def post_response(self, exchange: Exchange) -> None:
        """Note an exchange that has ended."""
        agent = exchange.agent
        provider_name = "aiogate" if agent is None else self._config.providers.get(agent.id, agent.id)
        if self._spans is not None:
            self._spans.record(exchange, provider_name)
        if self._meters is not None:
            self._meters.record(exchange, provider_name)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        ids, here = Ids(), version("aiogate")
        traces = await asyncio.to_thread(tracers, ids, self._config.resource)
        metrics = await asyncio.to_thread(meters, self._config.resource)
        if traces is not None:
            self._spans = Spans(traces, ids, here, names_callers=self._config.names_callers)
        if metrics is not None:
            self._meters = Meters(metrics, here)
        try:
            yield
        finally:
            self._spans = self._meters = None
            milliseconds = self._config.flush_seconds * 1000
            flushes: list[Callable[[], object]] = []
            if traces is not None:
                flushes.append(traces.shutdown)
            if metrics is not None:
                flushes.append(partial(metrics.shutdown, timeout_millis=milliseconds))
            await asyncio.gather(*(_patiently(flush, self._config.flush_seconds) for flush in flushes))


async def _patiently(flush: Callable[[], object], seconds: float) -> None:
    """Run what blocks, and leave it when that takes too long: a collector that is away keeps nobody here."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        try:
            flush()
        finally:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="aiogate-otel-flush", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        _log.warning("the collector did not take the last spans and metrics within %g s; they are lost", seconds)
