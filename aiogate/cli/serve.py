"""``aiogate serve``: the gateway as a process, from its first line on the terminal to its exit code."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click

from aiogate.cli.announce import announcement
from aiogate.pipeline.load import load
from aiogate.server.follow import Look, follow
from aiogate.server.gateway import Gateway
from aiogate.server.inherited import Inherited
from aiogate.server.notify import Notifier

__all__ = ["serve"]

_YOUNG_OBJECTS: Final = 20_000


@click.command(
    help="""Serve a config.

    \b
    Example:
        aiogate serve conf/gateway.toml

    SIGTERM or Ctrl-C drains: /readyz says no, after `drain_delay_seconds` nobody is let in any more, open exchanges may
    end within `grace_seconds`; a second one ends them. SIGHUP reads the config again, as `aiogate reload` does; what is
    under way ends on the config that it began with.

    A supervisor hears of it by NOTIFY_SOCKET, and may hand over the sockets to listen on by LISTEN_FDS: see
    conf/deploy/aiogate.service and aiogate.socket.
    """
)
@click.argument(
    "file", type=click.Path(path_type=Path), envvar="AIOGATE_CONFIG", default=Path("conf/gateway.toml"), required=False
)
@click.option("--watch", is_flag=True, envvar="AIOGATE_WATCH", help="Read the config again whenever its files change.")
def serve(file: Path, *, watch: bool) -> None:
    """Serve a config until a signal ends it."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    seen = Look.at(file) if watch else None
    notifier, inherited = Notifier.of(os.environ), Inherited.of(os.environ)
    read = partial(load, file, os.environ)
    settings, pipeline = read()
    _allow_many_files()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
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
        runner.run(_serve(gateway, seen))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on Windows
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(gateway: Gateway, seen: Look | None) -> None:
    hangup, asked = asyncio.Event(), _on_signals(gateway)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)  # from now on none ends the process
    await gateway.start()
    _spare_the_collector()
    click.echo(announcement(gateway), err=True)
    notifier = gateway.notifier
    notifier.ready(f"serving, config {gateway.generation.number}")
    followers = [asyncio.create_task(_reload_on(hangup, gateway))]
    if seen is not None:
        followers.append(asyncio.create_task(follow(gateway, seen)))
    if notifier.watchdog_seconds is not None:
        followers.append(asyncio.create_task(_feed_the_watchdog(notifier, notifier.watchdog_seconds / 3)))
    await asked.wait()
    draining = f"draining: {len(gateway.house.open_exchanges)} open exchanges"
    click.echo(draining, err=True)
    notifier.stopping(draining)
    try:
        await gateway.stop()
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


async def _feed_the_watchdog(notifier: Notifier, seconds: float) -> None:
    """Show the supervisor that the loop turns."""
    while True:
        notifier.alive()
        await asyncio.sleep(seconds)


async def _reload_on(hangup: asyncio.Event, gateway: Gateway) -> None:
    """Reload for each SIGHUP; those that come meanwhile are one."""
    while True:
        await hangup.wait()
        hangup.clear()
        await gateway.reloads.reload("SIGHUP")


def _spare_the_collector() -> None:
    """Set aside what lives as long as the process, and look for cycles less often: an exchange leaves none behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 50)


def _on_signals(gateway: Gateway) -> asyncio.Event:
    """Return what the first SIGTERM or SIGINT sets; the next one cuts what is under way."""
    asked = asyncio.Event()

    def on_signal() -> None:
        if asked.is_set():
            gateway.cut()
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return asked


def _allow_many_files() -> None:
    """Open as many connections as the system lets us, and not as few as shells begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # where infinity is too much
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
