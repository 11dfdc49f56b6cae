"""``aiogate serve``: the gateway as a process, from its first line on the terminal to its exit code."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from aiogate.cli.announce import announcement
from aiogate.pipeline.load import load
from aiogate.pipeline.run import Pipeline
from aiogate.server.gateway import Gateway
from aiogate.settings.model import Settings

__all__ = ["serve"]

_YOUNG_OBJECTS: Final = 20_000


@click.command(
    help="""Serve a config.

    \b
    Example:
        aiogate serve conf/gateway.toml

    SIGTERM or Ctrl-C drains: open exchanges may end; a second one ends them.
    """
)
@click.argument(
    "file", type=click.Path(path_type=Path), envvar="AIOGATE_CONFIG", default=Path("conf/gateway.toml"), required=False
)
def serve(file: Path) -> None:
    """Serve a config until a signal ends it."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings, pipeline = load(file, os.environ)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, pipeline))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on Windows
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(settings: Settings, pipeline: Pipeline) -> None:
    gateway = Gateway(settings, pipeline, stdout=sys.stdout.buffer)
    await gateway.start()
    _spare_the_collector()
    click.echo(announcement(gateway), err=True)
    await _until_signalled(gateway)
    click.echo(f"draining: {len(gateway.house.open_exchanges)} open exchanges", err=True)
    await gateway.stop()


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
