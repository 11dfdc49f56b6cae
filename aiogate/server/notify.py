"""Tells the supervisor how the gateway is: systemd's protocol of ``NOTIFY_SOCKET`` (sd_notify(3)), without a library.

Says nothing where nobody listens. Knows nothing of what it says.
"""

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final, Self

import attrs

__all__ = ["Notifier"]

_log: Final = logging.getLogger(__name__)


@attrs.define
class Notifier:
    """A line to the supervisor.

    Args:
        address: its socket, abstract where it begins with ``@``; None: there is none.
        watchdog_seconds: it restarts a gateway from which it has not heard for so long; None: it does not.
    """

    address: str | None = None
    watchdog_seconds: float | None = None
    _failed: bool = attrs.field(default=False, init=False)

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self:
        """Return what the environment says, and take it out, so that no child of ours speaks for us."""
        address = environ.pop("NOTIFY_SOCKET", None)
        microseconds = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog = int(microseconds) / 1e6 if meant and microseconds.isdecimal() and int(microseconds) else None
        return cls(address if address and address[0] in "/@" else None, watchdog)

    def ready(self, status: str) -> None:
        """Say that the gateway serves, after its start and after a reload."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a config is read; ``ready`` ends it, whatever has come of it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reading the config")

    def stopping(self, status: str) -> None:
        """Say that the drain has begun."""
        self._tell("STOPPING=1", f"STATUS={status}")

    def succeeded_by(self, pid: int) -> None:
        """Say that another process takes over."""
        self._tell(f"MAINPID={pid}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self.address is None:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.setblocking(False)
                line.connect(address)
                line.send("\n".join(lines).encode())
        except OSError as error:
            if not self._failed:
                _log.warning("the supervisor does not hear: %s", error.strerror or error)
            self._failed = True
        else:
            self._failed = False
