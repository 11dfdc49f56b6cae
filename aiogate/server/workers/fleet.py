"""What the supervisor and its workers have in common: the config to begin with, the sockets, the directory.

The supervisor holds it; each worker gets it as it was when it was forked.
"""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from aiogate.errors import AiogateError
from aiogate.pipeline.run import Pipeline
from aiogate.server.folder import hold, made_folder
from aiogate.server.follow import Look
from aiogate.server.inherited import Inherited
from aiogate.server.merged_metrics import Left
from aiogate.server.reload import Load, fingerprint_of
from aiogate.server.siblings import SOCKET
from aiogate.server.together import InForce
from aiogate.settings.model import Address, Settings

__all__ = ["Fleet", "listening"]

_BACKLOG: Final = 1024


@attrs.define(eq=False, kw_only=True)
class Fleet:
    """The workers of one supervisor.

    Args:
        read: reads the config anew.
        loaded: the config that is in force, and its plugins as they were built, for workers to begin with.
        number: of that config.
        fingerprint: of its files.
        sockets: where to listen, opened.
        seen: how the config's files looked, if they are to be watched.
        say: tells a person.
        folder: where the workers find each other.
        up: whether all workers have served at any time; before that one that cannot start ends everything.
    """

    read: Load
    loaded: tuple[Settings, Pipeline]
    sockets: Inherited
    seen: Look | None
    say: Callable[[str], None]
    number: int = 1
    fingerprint: str = attrs.field(init=False)
    folder: Path = attrs.field(init=False, factory=made_folder)
    up: bool = False
    known: set[int] = attrs.field(factory=set, init=False)
    """Workers that have listened."""
    _held: int = attrs.field(init=False)
    """Open in the supervisor and in all workers: the folder is in use."""

    @_held.default
    def _from_the_first(self) -> int:
        return hold(self.folder)

    @fingerprint.default
    def _of_the_first(self) -> str:
        return fingerprint_of(self.settings)

    @property
    def settings(self) -> Settings:
        """The config that is in force."""
        return self.loaded[0]

    def serves(self, name: int) -> bool:
        """Tell whether a worker listens."""
        if (self.folder / f"{name}{SOCKET}").exists():
            self.known.add(name)
            return True
        return False

    def served(self, name: int) -> bool:
        """Tell whether a worker that is no more has ever listened."""
        return name in self.known or self.serves(name)

    def forget(self, name: int) -> None:
        """Clear away what a worker has left that is no more; what it has counted is kept."""
        Left(self.folder).bury(str(name))
        (self.folder / f"{name}{SOCKET}").unlink(missing_ok=True)
        self.known.discard(name)

    def catch_up(self) -> InForce | None:
        """Take over what the workers have put in force; return what they say of the last attempt."""
        found = InForce.read(self.folder)
        if found is None or found.number == self.number:
            return found
        loaded = self.read()
        if fingerprint_of(loaded[0]) == found.fingerprint:
            self.loaded, self.number, self.fingerprint = loaded, found.number, found.fingerprint
        return found

    def close(self) -> None:
        """Take the directory away."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._held)


def listening(address: Address) -> socket.socket:
    """Return a socket that listens; raises ``AiogateError``."""
    try:
        [family, kind, protocol, _, where], *_ = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setblocking(False)
            opened.bind(where)
            opened.listen(_BACKLOG)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        msg = f"cannot listen on {address}: {error.strerror or error}"
        raise AiogateError(msg) from error
    return opened
