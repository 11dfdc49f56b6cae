"""``aiogate check``: every problem of a config at once, for people and for their CI."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import click
import orjson

from aiogate.agent import Agent
from aiogate.cli import EX_CONFIG, config_file
from aiogate.errors import AiogateError, Problem, SettingsError, UpstreamError
from aiogate.exchange import Clock
from aiogate.pipeline.load import load
from aiogate.pipeline.run import Pipeline
from aiogate.proxy.upstream.dial import Dialer
from aiogate.proxy.upstream.endpoint import endpoints_for
from aiogate.server.counters import open_state
from aiogate.server.key_desk import KeepsKeys
from aiogate.settings.document import Document
from aiogate.settings.faults import dotted
from aiogate.settings.model import Settings, StateSettings

__all__ = ["check"]

_TELLS: Final = "budgets"


@click.command(
    help="""Find every problem of a config without serving it.

    \b
    Example:
        aiogate check conf/gateway.toml

    Exits with 0 when the config is in order and with 78 when it is not.
    """
)
@config_file
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.option("--probe", is_flag=True, help="Connect to each agent and to Redis; what cannot be reached is a problem.")
@click.pass_context
def check(ctx: click.Context, file: Path, *, as_json: bool, probe: bool) -> None:
    """Check a config, the plugins that it builds included."""
    try:
        settings, pipeline = load(file, os.environ)
        if probe:
            _probe(file, settings)
    except SettingsError as error:
        if not as_json:
            raise
        _print_json(file, error.problems)
        ctx.exit(EX_CONFIG)
    warnings = tuple(_warnings(file, settings, pipeline))
    if as_json:
        _print_json(file, (), warnings)
        return
    for warning in warnings:
        click.echo(f"aiogate: warning: {warning}", err=True)
    agents = _counted(len(settings.agents), "agent")
    plugins = _counted(len(settings.pipeline.plugins), "plugin")
    click.echo(f"{file}: in order ({agents}, {plugins})")


def _warnings(file: Path, settings: Settings, pipeline: Pipeline) -> Iterator[Problem]:
    """Yield what is in order and yet cannot be meant: a plugin that knows of any has a method ``warnings(agents)``."""
    document = Document.read(file)
    for path, message in (*_nobody_may_call(settings, pipeline), *_nobody_tells(pipeline)):
        yield document.placed(Problem(path, message))
    for name, plugin in pipeline.plugins.items():
        warn = getattr(plugin, "warnings", None)
        for place, message in warn(settings.agents) if warn is not None else ():
            path = f"{dotted(('plugins', name))}.{place}"
            yield document.placed(Problem(path, message))


def _nobody_may_call(settings: Settings, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Yield the agents that ask for a role which no principal has, as far as the plugins know all principals."""
    authenticating: list[Any] = [
        one for one in pipeline.plugins.values() if "principal" in getattr(one, "enforces", ())
    ]
    if not authenticating or not all(hasattr(one, "principals") for one in authenticating):
        return
    known = frozenset[str]().union(*(who.roles for one in authenticating for who in one.principals()))
    stored = any(isinstance(one, KeepsKeys) and one.key_store() is not None for one in authenticating)
    others = ", unless a key of the store has it" if stored else ""
    for agent in settings.agents.values():
        if agent.required_roles and known.isdisjoint(agent.required_roles):
            roles = " or ".join(sorted(agent.required_roles))
            yield (
                dotted(("agents", agent.id, "required_role")),
                f"nobody may call it: no principal has the role {roles}{others}",
            )


def _nobody_tells(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Yield where a plugin asks (``asks()``) for what no plugin before it tells (``tells``)."""
    told = set[str]()
    for name, plugin in pipeline.plugins.items():
        asks = getattr(plugin, "asks", None)
        for place, wanted in asks() if asks is not None else ():
            if wanted not in told:
                tell = [one for one, other in pipeline.plugins.items() if wanted in getattr(other, "tells", ())]
                hint = f"put {tell[0]!r} before {name!r}" if tell else f"no plugin tells it: add one such as {_TELLS}"
                message = f"fails always, and so refuses: nobody knows {wanted}; {hint} in pipeline.plugins"
                yield f"{dotted(('plugins', name))}.{place}", message
        told.update(getattr(plugin, "tells", ()))


def _probe(file: Path, settings: Settings) -> None:
    """Connect to every agent and to the state; raises ``SettingsError`` with what cannot be reached."""
    unreachable = [*_unreachable(settings.agents.values()), *asyncio.run(_state_away(settings.state))]
    if unreachable:
        raise SettingsError(str(file), Document.read(file).in_order(unreachable))


def _unreachable(agents: Iterable[Agent]) -> list[Problem]:
    """Connect to every agent, TLS included, all at once; return what fails."""

    async def probe(dialer: Dialer, agent: Agent, place: int) -> Problem | None:
        endpoint, where = endpoints_for(agent)[place], ("urls", place) if agent.urls else ("url",)
        try:
            connected = await dialer.connect(endpoint, _Connected, agent.connect_seconds, name=agent.id)
        except UpstreamError as error:
            return Problem(dotted(("agents", agent.id, *where)), error.detail)
        connected.close()
        return None

    async def probe_all() -> list[Problem | None]:
        dialer = Dialer()
        try:
            each = ((agent, place) for agent in agents for place in range(len(endpoints_for(agent))))
            return await asyncio.gather(*(probe(dialer, agent, place) for agent, place in each))
        finally:
            dialer.close()

    return [problem for problem in asyncio.run(probe_all()) if problem is not None]


async def _state_away(settings: StateSettings) -> list[Problem]:
    """Return why the counters cannot be reached, if they cannot."""
    try:
        state = await open_state(settings, Clock())
    except AiogateError as error:
        return [Problem("state.url", str(error).removeprefix("[state] url: "))]
    away = state.degraded
    await state.close()
    return [] if away is None else [Problem("state.url", away)]


class _Connected(asyncio.Protocol):
    """A connection that is made and closed."""

    _transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def close(self) -> None:
        """Close it; nothing was sent."""
        if self._transport is not None:
            self._transport.close()


def _print_json(file: Path, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
    plain = {
        "file": str(file),
        "problems": [attrs.asdict(problem) for problem in problems],
        "warnings": [attrs.asdict(warning) for warning in warnings],
    }
    click.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
