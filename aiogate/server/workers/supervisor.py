"""The supervisor: gunicorn's arbiter, with our sockets, our signals, our words to systemd and to people.

Knows nothing of HTTP. What gunicorn's arbiter does is left to it; what is overridden says why.
"""

import gc
import importlib
import logging
import os
import queue
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from aiogate.errors import AiogateError
from aiogate.pipeline.run import Pipeline
from aiogate.server.folder import clear_away
from aiogate.server.follow import Look
from aiogate.server.inherited import Inherited
from aiogate.server.notify import Notifier
from aiogate.server.reload import Load
from aiogate.server.workers.fleet import Fleet, listening
from aiogate.server.workers.worker import GatewayWorker
from aiogate.settings.model import Address, Settings

__all__ = ["supervise"]

Announce = Callable[[Settings, Address, Address, str | None], str]

_log: Final = logging.getLogger("aiogate.workers")
_FDS: Final = "GUNICORN_FD"
"""How a supervisor hands its sockets to the one that takes its place, in the order of ``Inherited``."""
_HANGS_SECONDS: Final = 30
_LEAVE_SECONDS: Final = 15.0
"""How long a worker may take beyond the drain's own time before it is killed."""
_LOOK_SECONDS: Final = 0.1
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 10.0
_RELOAD_SECONDS: Final = 120.0


def supervise(  # noqa: PLR0913 - each is said by its name
    read: Load,
    loaded: tuple[Settings, Pipeline],
    inherited: Inherited,
    notifier: Notifier,
    *,
    environ: Mapping[str, str],
    seen: Look | None,
    say: Callable[[str], None],
    announce: Announce,
) -> None:
    """Run as many workers as the config says until a signal ends it; raises ``AiogateError`` when it cannot begin.

    Args:
        read: reads the config anew.
        loaded: what it has read.
        inherited: sockets that somebody holds open for us.
        notifier: tells systemd.
        environ: for the process that takes over on SIGUSR2; before anything was taken out of it.
        seen: how the config's files looked, if they are to be watched.
        say: tells a person.
        announce: makes the lines to say once all of them serve.
    """
    pid, settings = os.getpid(), loaded[0]
    sockets = _sockets(settings, _handed_on() or inherited)
    clear_away()
    fleet = Fleet(read=read, loaded=loaded, sockets=sockets, seen=seen, say=say)
    importlib.import_module("aiogate.state.redis")  # what each of them would import otherwise
    try:
        _Supervisor(_Application(fleet), notifier, announce, environ).run()
    except SystemExit as ended:
        if ended.code not in {None, 0} and os.getpid() == pid:
            msg = "the workers could not be started" if not fleet.up else "the supervisor has failed"
            raise AiogateError(msg) from ended
        raise
    finally:
        if os.getpid() == pid:  # a worker leaves this way too
            fleet.close()


class _Log:
    """What gunicorn has to say goes where all is logged; its everyday remarks are for debugging."""

    def __init__(self, cfg: object) -> None:
        self.cfg = cfg
        self.debug = self.info = _log.debug
        self.warning, self.error, self.exception, self.critical = (
            _log.warning,
            _log.error,
            _log.exception,
            _log.critical,
        )

    def setup(self, cfg: object) -> None:
        """Nothing of it is configured by gunicorn."""

    def reopen_files(self) -> None:
        """There are none."""

    def close_on_exec(self) -> None:
        """Likewise."""


class _Application(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """What gunicorn calls an application: here, how it is configured."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn what it has to know."""
        options = {
            "workers": self.fleet.settings.server.workers,
            "worker_class": GatewayWorker,
            "logger_class": _Log,
            "timeout": _HANGS_SECONDS,
            "worker_tmp_dir": str(self.fleet.folder),
            "control_socket_disable": True,
            "proc_name": "aiogate",
        }
        for name, value in options.items():
            self.cfg.set(name, value)


class _Supervisor(Arbiter):  # type: ignore[misc] # gunicorn has no types
    def __init__(self, app: _Application, notifier: Notifier, announce: Announce, environ: Mapping[str, str]) -> None:
        super().__init__(app)
        self._fleet: Fleet = app.fleet
        self._notifier, self._announce = notifier, announce
        self.WORKERS: dict[int, Any] = {}
        sockets = app.fleet.sockets
        self.LISTENERS = [one for one in (sockets.public, sockets.admin) if one is not None]
        self._successor = {
            name: value for name, value in environ.items() if not name.startswith(("LISTEN_", "GUNICORN_"))
        }
        self._successor.pop("WATCHDOG_PID", None)
        self.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]  # gunicorn's forgets -c and -m
        self._not_before = 0.0
        self._wait_seconds = _FIRST_WAIT_SECONDS
        self._reloading_until = 0.0
        self._stopping = False

    # workers

    def spawn_worker(self) -> int:
        """Fork a worker; no signal is lost between the fork and the moment when the worker takes them."""
        self._take_over_config()
        gc.collect()
        gc.freeze()  # what all have in common is not copied for the counts of a collector
        blocked = {signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGHUP}
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        try:
            pid: int = super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        return pid

    def manage_workers(self) -> None:
        """Replace workers, unless those that could not start want some rest; then see who serves."""
        if time.monotonic() >= self._not_before or len(self.WORKERS) >= self.num_workers:
            super().manage_workers()
        self._notifier.alive()
        serving = [worker for worker in self.WORKERS.values() if self._fleet.serves(worker.age)]
        if not self._fleet.up and len(serving) >= self.num_workers:
            self._all_serve()
        if self._reloading_until and time.monotonic() > self._reloading_until:
            self._reloading_until = 0.0
            self._notifier.ready(f"serving, config {self._fleet.number}; the last reload does not end")

    def reap_workers(self) -> None:
        """Clear away what the dead have left, and wait before the next one if they have never served."""
        before = dict(self.WORKERS)
        try:
            super().reap_workers()
        finally:
            for pid, worker in before.items():
                if pid not in self.WORKERS:
                    self._ended(worker)

    def _ended(self, worker: Any) -> None:  # noqa: ANN401 - gunicorn's
        served = self._fleet.served(worker.age)
        self._fleet.forget(worker.age)
        if served:
            self._wait_seconds = _FIRST_WAIT_SECONDS
        else:
            self._not_before = time.monotonic() + self._wait_seconds
            self._wait_seconds = min(2 * self._wait_seconds, _LONGEST_WAIT_SECONDS)

    def _all_serve(self) -> None:
        fleet = self._fleet
        fleet.up = True
        public, admin = (Address(*listener.getsockname()[:2]) for listener in self.LISTENERS)
        fleet.say(self._announce(fleet.settings, public, admin, None))
        self._notifier.ready(f"serving, config {fleet.number}, {self.num_workers} workers")
        if self.master_pid and self.master_pid == os.getppid():  # we have taken over: its workers drain
            os.kill(self.master_pid, signal.SIGTERM)

    # signals

    def handle_hup(self) -> None:
        """Have the worker that serves for longest lead a reload; gunicorn would start all of them anew."""
        serving = [worker for worker in self.WORKERS.values() if self._fleet.serves(worker.age)]
        if not serving:
            _log.warning("SIGHUP: no worker serves yet; send it again")
            return
        self._notifier.reloading()
        self._reloading_until = time.monotonic() + _RELOAD_SECONDS
        self.kill_worker(min(serving, key=lambda worker: worker.age).pid, signal.SIGHUP)

    def handle_usr1(self) -> None:
        """Hear from the worker that has led a reload that it is over."""
        self._reloading_until = 0.0
        found = self._take_over_config()
        failed = f"; the last reload failed: {found.said}" if found is not None and not found.successful else ""
        self._notifier.ready(f"serving, config {self._fleet.number}{failed}")

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Return the next one alone: those behind the one that stops us are for the stop to hear."""
        with suppress(queue.Empty):
            number: int = self.SIG_QUEUE.get(timeout=timeout)
            return [] if number == self.WAKEUP_REQUEST else [number]
        return []

    def handle_int(self) -> None:
        """Drain, as for SIGTERM."""
        self.handle_term()

    def _take_over_config(self) -> Any:  # noqa: ANN401 - InForce or None
        try:
            return self._fleet.catch_up()
        except Exception as error:  # noqa: BLE001 - the border to a file that may hold anything: who is started asks again
            _log.warning("the config in force cannot be read for workers to come: %s", error)
            return None

    def reexec(self) -> None:
        """Start the program anew beside us, with our sockets; when its workers serve it ends us."""
        for listener in self.LISTENERS:
            listener.set_inheritable(True)
        self.cfg.env_orig.clear()
        self.cfg.env_orig.update(self._successor)
        super().reexec()

    def stop(self, graceful: bool = True) -> None:
        """Drain, or cut; a second signal cuts. gunicorn's waits for a fixed time and hears no second SIGTERM."""
        if self._stopping:
            return
        self._stopping = True
        if self.reexec_pid:
            self._notifier.succeeded_by(self.reexec_pid)
        else:
            self._notifier.stopping("draining" if graceful else "stopping")
        for listener in self.LISTENERS:
            listener.close()
        self.LISTENERS = []
        self.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
        server = self._fleet.settings.server
        patience = _LEAVE_SECONDS + (server.drain_delay_seconds + server.grace_seconds if graceful else 0.0)
        self._await_workers(time.monotonic() + patience)
        self.kill_workers(signal.SIGKILL)
        self._await_workers(time.monotonic() + _LEAVE_SECONDS)

    def _await_workers(self, end: float) -> None:
        while time.monotonic() < end:
            with suppress(HaltServer):  # we are leaving anyway
                self.reap_workers()
            if not self.WORKERS:
                return
            for number in self.wait_for_signals(timeout=_LOOK_SECONDS):
                if number in {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}:
                    self.kill_workers(signal.SIGQUIT)
                    end = min(end, time.monotonic() + _LEAVE_SECONDS)


def _handed_on() -> Inherited | None:
    """Return the sockets of the supervisor whose place we take, if we do."""
    found = os.environ.pop(_FDS, "")
    if not found:
        return None
    opened = [socket.socket(fileno=int(number)) for number in found.split(",")]
    for one in opened:
        one.set_inheritable(False)
        one.setblocking(False)
    return Inherited(*opened)


def _sockets(settings: Settings, given: Inherited) -> Inherited:
    """Return sockets for clients and operators: those that are given, the rest opened."""
    return Inherited(
        public=given.public or listening(settings.server.listen), admin=given.admin or listening(settings.admin.listen)
    )
