"""Sockets that somebody else has opened for the gateway and holds open while it restarts (sd_listen_fds(3)).

What waits in such a socket is not refused meanwhile. Knows nothing of HTTP.
"""

import os
import socket
from collections.abc import MutableMapping
from typing import Final, Self

import attrs

from aiogate.errors import AiogateError

__all__ = ["Inherited"]

_FIRST: Final = 3
_ADMIN: Final = "admin"
_MOST: Final = 2


@attrs.frozen
class Inherited:
    """A listening socket for clients, and one for operators; None: the gateway opens its own."""

    public: socket.socket | None = None
    admin: socket.socket | None = None

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self:
        """Return what the environment says, and take it out; raises ``AiogateError`` for what cannot be listened on.

        The socket that is named ``admin`` (``FileDescriptorName=`` in systemd) is for operators, the other for clients.
        """
        meant = environ.pop("LISTEN_PID", "") == str(os.getpid())
        count, names = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_FDNAMES", "")
        if not meant or not count.isdecimal() or not int(count):
            return cls()
        if int(count) > _MOST:
            msg = f"{count} sockets are handed over; the gateway takes one for clients and one that is named {_ADMIN!r}"
            raise AiogateError(msg)
        named = [*names.split(":"), *[""] * _MOST]
        found = {(named[number] == _ADMIN): _listening(_FIRST + number) for number in range(int(count))}
        if len(found) < int(count):
            msg = f"of two sockets that are handed over one has to be named {_ADMIN!r}"
            raise AiogateError(msg)
        return cls(found.get(False), found.get(True))


def _listening(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        handed = socket.socket(fileno=descriptor)
    except OSError as error:
        msg = f"file descriptor {descriptor} is handed over as a socket and is none: {error.strerror}"
        raise AiogateError(msg) from error
    is_tcp = handed.family in {socket.AF_INET, socket.AF_INET6} and handed.type == socket.SOCK_STREAM
    if not is_tcp or not handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        handed.detach()
        msg = f"file descriptor {descriptor} is no listening TCP socket (ListenStream=)"
        raise AiogateError(msg)
    handed.setblocking(False)
    return handed
