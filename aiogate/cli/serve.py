"""``aiogate serve``: the gateway as a process, from its first line on the terminal to its exit code."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import click
from click.core import ParameterSource

from aiogate.cli.announce import announcement
from aiogate.cli.shared_store import prefix_option, state_option
from aiogate.pipeline.load import load
from aiogate.server.follow import Look
from aiogate.server.gateway import Gateway
from aiogate.server.inherited import Inherited
from aiogate.server.notify import Notifier
from aiogate.server.process import allow_many_files, loop_factory
from aiogate.server.process import serve as serve_until_told
from aiogate.server.reload import Load

__all__ = ["serve"]


class _Workers(click.ParamType[int]):
    """A number of processes, or ``auto``."""

    name = "N|auto"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from aiogate.settings.workers import AUTO, MOST_WORKERS  # noqa: PLC0415 - only where it is given

        if value == "auto":
            return AUTO
        if not str(value).isdecimal() or not 1 <= int(str(value)) <= MOST_WORKERS:
            self.fail(f"expected a number from 1 to {MOST_WORKERS}, or auto", param, ctx)
        return int(str(value))


@click.command(
    help="""Serve a config.

    \b
    Example:
        aiogate serve conf/gateway.toml
        aiogate serve conf/production.toml --workers 4
        AIOGATE_STATE=redis://redis:6379/0 aiogate serve

    SIGTERM or Ctrl-C drains: /readyz says no, after `drain_delay_seconds` nobody is let in any more, open exchanges may
    end within `grace_seconds`; a second one ends them, as SIGQUIT does at once. SIGHUP reads the config again, as
    `aiogate reload` does; what is under way ends on the config that it began with.

    With several workers (they need a Redis to count in, and gunicorn: pip install 'aiogate[workers]') one process
    supervises and takes the signals: a worker that dies is replaced, a new config is in force in all of them or in
    none, and SIGUSR2 puts another version of aiogate in the place of the running one: once its workers serve, the old
    ones drain.

    With --state, or AIOGATE_STATE where no FILE is named, the config is the one that was pushed to that Redis (aiogate
    config push), and each that is pushed later is in force within a second. Its relative paths start here.

    A supervisor hears of it by NOTIFY_SOCKET, and may hand over the sockets to listen on by LISTEN_FDS: see
    conf/deploy/aiogate.service and aiogate.socket.
    """
)
@click.argument(
    "file", type=click.Path(path_type=Path), envvar="AIOGATE_CONFIG", default=Path("conf/gateway.toml"), required=False
)
@click.option("--watch", is_flag=True, envvar="AIOGATE_WATCH", help="Read the config again whenever its files change.")
@click.option(
    "--workers",
    type=_Workers(),
    envvar="AIOGATE_WORKERS",
    help="How many processes serve, whatever [server] workers says; auto: one for each processor.",
)
@state_option("Serve the config that was pushed to this Redis, in the place of a file: redis://host:6379/0.")
@prefix_option
@click.pass_context
def serve(  # noqa: PLR0913 - one argument for each option
    ctx: click.Context, file: Path, state: str | None, prefix: str | None, *, watch: bool, workers: int | None
) -> None:
    """Serve a config until a signal ends it."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if state is not None and _is_by_store(ctx, watch=watch):
        from aiogate.cli.serve_pushed import followed  # noqa: PLC0415 - only here

        with followed(state, prefix, workers) as generations:
            _serve(generations, None)
        return
    _serve(partial(load, file, os.environ, workers=workers), Look.at(file) if watch else None)


def _is_by_store(ctx: click.Context, *, watch: bool) -> bool:
    """Tell whether a store says what to serve; a file that somebody names goes before a store of the environment's."""
    named = ctx.get_parameter_source("file") is not ParameterSource.DEFAULT
    told = ctx.get_parameter_source("state") is ParameterSource.COMMANDLINE
    if told and ctx.get_parameter_source("file") is ParameterSource.COMMANDLINE:
        msg = "there is a FILE and a --state: serve the one or the other"
        raise click.UsageError(msg)
    if watch and (told or not named):
        msg = "--watch is for files; what is pushed to a store is followed anyway"
        raise click.UsageError(msg)
    return told or not named


def _serve(read: Load, seen: Look | None) -> None:
    environ = dict(os.environ)
    notifier, inherited = Notifier.of(os.environ), Inherited.of(os.environ)
    settings, pipeline = read()
    allow_many_files()
    if settings.server.workers > 1:
        from aiogate.server.workers import supervise  # noqa: PLC0415 - gunicorn, which one worker does without

        supervise(
            read, (settings, pipeline), inherited, notifier, environ=environ, seen=seen, say=_say, announce=announcement
        )
        return
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        gateway = Gateway(
            settings,
            pipeline,
            stdout=sys.stdout.buffer,
            load=read,
            retired=gc.collect,
            inherited=inherited,
            notifier=notifier,
        )
        del settings, pipeline  # they go when another config is in force
        runner.run(serve_until_told(gateway, _Terminal(notifier), seen))


@attrs.define
class _Terminal:
    """Tells a person, and systemd if it listens."""

    _notifier: Notifier

    @property
    def beat_seconds(self) -> float | None:
        """A third of what systemd's watchdog waits."""
        seconds = self._notifier.watchdog_seconds
        return None if seconds is None else seconds / 3

    def started(self, gateway: Gateway) -> None:
        """Say where it serves."""
        if gateway.public is not None and gateway.admin is not None:
            _say(announcement(gateway.settings, gateway.public, gateway.admin, gateway.house.state.degraded))
        self._notifier.ready(f"serving, config {gateway.generation.number}")

    async def beat(self, gateway: Gateway, stop: Callable[[], None]) -> None:
        """Feed the watchdog."""
        del gateway, stop
        self._notifier.alive()

    def draining(self, gateway: Gateway) -> None:
        """Say how many exchanges are waited for."""
        draining = f"draining: {len(gateway.house.open_exchanges)} open exchanges"
        _say(draining)
        self._notifier.stopping(draining)


def _say(text: str) -> None:
    click.echo(text, err=True)
