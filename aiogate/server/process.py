"""A gateway as a process: what signals ask of it, and what runs beside it from its start to its end.

For ``aiogate serve`` and for each of several workers. Knows nothing of terminals or of who supervises: they are told
through ``Host``.
"""

import asyncio
import contextlib
import gc
import resource
import signal
import sys
from collections.abc import Callable
from typing import Final, Protocol

from aiogate.server.follow import Look, follow
from aiogate.server.gateway import Gateway
from aiogate.server.pushed import Followed

__all__ = ["Host", "allow_many_files", "loop_factory", "serve"]

_YOUNG_OBJECTS: Final = 20_000
_FAREWELL_SECONDS: Final = 0.5
_LONGEST_TURN_SECONDS: Final = 0.001
"""So long may a thread beside the loop keep the interpreter while an exchange waits; usual is five times that."""


class Host(Protocol):
    """Who runs the process, and wants to know how it is."""

    @property
    def beat_seconds(self) -> float | None:
        """So often does it want a sign of life; None: never."""

    def started(self, gateway: Gateway) -> None:
        """It serves."""

    async def beat(self, gateway: Gateway, stop: Callable[[], None]) -> None:
        """The loop turns; ``stop`` begins the drain."""

    def draining(self, gateway: Gateway) -> None:
        """It has been asked to stop."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop: uvloop's, where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on Windows
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def allow_many_files() -> None:
    """Open as many connections as the system lets us, and not as few as shells begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # where infinity is too much
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(gateway: Gateway, host: Host, seen: Look | None, *, supervised: bool = False) -> None:
    """Serve until a signal ends it.

    ``seen`` is how the config's files looked, if they are to be watched. ``supervised``: a signal may come twice, from
    the supervisor and from whoever has sent it to the whole group, so that SIGQUIT alone cuts.
    """
    hangup, asked = asyncio.Event(), _on_signals(gateway, supervised=supervised)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)  # from now on none ends the process
    await gateway.start()
    _spare_the_collector()
    sys.setswitchinterval(_LONGEST_TURN_SECONDS)
    host.started(gateway)
    followers = [asyncio.create_task(_reload_on(hangup, gateway))]
    if seen is not None:
        followers.append(asyncio.create_task(follow(gateway, seen)))
    following: asyncio.Task[None] | None = None
    if isinstance(gateway.load, Followed):
        following = asyncio.create_task(gateway.load.follow(gateway))
        followers.append(following)
    if host.beat_seconds is not None:
        followers.append(asyncio.create_task(_show_life(host, gateway, host.beat_seconds, asked.set)))
    await asked.wait()
    host.draining(gateway)
    if following is not None:  # while the store can still be told
        following.cancel()
        await asyncio.wait({following}, timeout=_FAREWELL_SECONDS)
    try:
        await gateway.stop()
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


async def _show_life(host: Host, gateway: Gateway, seconds: float, stop: Callable[[], None]) -> None:
    """Show whoever supervises that the loop turns."""
    while True:
        await host.beat(gateway, stop)
        await asyncio.sleep(seconds)


async def _reload_on(hangup: asyncio.Event, gateway: Gateway) -> None:
    """Reload for each SIGHUP; those that come meanwhile are one."""
    while True:
        await hangup.wait()
        hangup.clear()
        await gateway.together.reload("SIGHUP")


def _spare_the_collector() -> None:
    """Set aside what lives as long as the process, and look for cycles less often: an exchange leaves none behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 50)


def _on_signals(gateway: Gateway, *, supervised: bool) -> asyncio.Event:
    """Return what the first SIGTERM or SIGINT sets; the next one cuts what is under way, as SIGQUIT does at once."""
    asked = asyncio.Event()

    def stop() -> None:
        if asked.is_set() and not supervised:
            gateway.cut()
        asked.set()

    def end() -> None:
        asked.set()
        gateway.cut()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM,) if supervised else (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGQUIT, end)
    return asked
