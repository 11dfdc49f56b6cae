"""``aiogate serve``: the gateway as a process, from its first line on the terminal to its exit code."""

import asyncio
import gc
import logging
import os
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

__all__ = ["serve"]

_YOUNG_OBJECTS: Final = 20_000


@click.command(
    help="""Serve a config.

    \b
    Example:
        aiogate serve conf/gateway.toml

    SIGTERM or Ctrl-C drains: open exchanges may end; a second one ends them. SIGHUP reads the config again, as
    `aiogate reload` does; what is under way ends on the config that it began with.
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
    read = partial(load, file, os.environ)
    settings, pipeline = read()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        gateway = Gateway(settings, pipeline, stdout=sys.stdout.buffer, load=read, retired=gc.collect)
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
    hangup = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)  # from now on none ends the process
    await gateway.start()
    _spare_the_collector()
    click.echo(announcement(gateway), err=True)
    followers = [asyncio.create_task(_reload_on(hangup, gateway))]
    if seen is not None:
        followers.append(asyncio.create_task(follow(gateway, seen)))
    try:
        await _until_signalled(gateway)
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    click.echo(f"draining: {len(gateway.house.open_exchanges)} open exchanges", err=True)
    await gateway.stop()


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


async def _until_signalled(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def on_signal() -> None:
        if asked.is_set():
            gateway.cut()
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await asked.wait()
