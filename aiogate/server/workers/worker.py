"""One worker: a process that the supervisor has forked, in which our own gateway serves until it is told to stop."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from gunicorn.workers.base import Worker

from aiogate.errors import AiogateError
from aiogate.server.exposition import counted_of
from aiogate.server.gateway import Gateway
from aiogate.server.merged_metrics import plain_metrics
from aiogate.server.process import loop_factory, serve
from aiogate.server.siblings import Siblings
from aiogate.server.workers.fleet import Fleet

__all__ = ["CANNOT_START", "GatewayWorker"]

CANNOT_START: Final = 3
"""Exit code that ends the supervisor as well (gunicorn's ``WORKER_BOOT_ERROR``)."""
_FAILED: Final = 1
_IGNORED: Final = (
    signal.SIGHUP,
    signal.SIGINT,  # a terminal's goes to the supervisor too, which tells us
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
)
_FATAL: Final = (signal.SIGTERM, signal.SIGQUIT, signal.SIGABRT, signal.SIGCHLD)


class GatewayWorker(Worker):  # type: ignore[misc] # gunicorn has no types
    """Runs a gateway on the sockets that the supervisor holds; a host for ``process.serve``."""

    beat_seconds = 1.0
    fleet: Fleet

    def init_process(self) -> None:
        """Be the process; gunicorn's own would load a WSGI application."""
        self.fleet = self.app.fleet
        self.run()

    def run(self) -> None:
        """Serve until told to stop, and leave with the exit code."""
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        for number in _FATAL:  # until the gateway takes them: so early nothing is lost
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for handler in logging.getLogger().handlers:
            handler.setFormatter(
                logging.Formatter(f"%(asctime)s %(levelname)s worker {self.age} %(name)s: %(message)s")
            )
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve())
        except AiogateError as error:
            self.fleet.say(f"aiogate: {' '.join(str(error).splitlines())}")
            sys.exit(_FAILED if self.fleet.up else CANNOT_START)
        sys.exit(0)

    async def _serve(self) -> None:
        fleet = self.fleet
        settings, pipeline = fleet.loaded
        gateway = Gateway(
            settings,
            pipeline,
            stdout=sys.stdout.buffer,
            load=fleet.read,
            retired=gc.collect,
            inherited=fleet.sockets,
            siblings=Siblings(fleet.folder, str(self.age), self.ppid),
            number=fleet.number,
        )
        del settings, pipeline
        del fleet.loaded  # they go when another config is in force
        await serve(gateway, self, fleet.seen, supervised=True)
        await gateway.house.counted.write(plain_metrics(counted_of(gateway)))

    # what the gateway tells

    def started(self, gateway: Gateway) -> None:
        """Wake the supervisor, who looks for our socket."""
        del gateway
        self.booted = True
        os.kill(self.ppid, signal.SIGCHLD)

    async def beat(self, gateway: Gateway, stop: Callable[[], None]) -> None:
        """Show that the loop turns, and write down what was counted; without a supervisor there is no more to do."""
        self.notify()
        if os.getppid() != self.ppid:
            stop()
        await gateway.house.counted.write(plain_metrics(counted_of(gateway)))

    def draining(self, gateway: Gateway) -> None:
        """Say how many exchanges are waited for."""
        self.fleet.say(f"worker {self.age} draining: {len(gateway.house.open_exchanges)} open exchanges")
