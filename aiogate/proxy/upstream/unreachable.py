"""Why an agent cannot be reached, in half a sentence that a client may read; for the dialer.

No sentence holds a name, an address, a path or what is in a certificate.
"""

import errno
import socket
import ssl
from collections.abc import Callable
from enum import StrEnum
from typing import Final

__all__ = ["Step", "why"]


class Step(StrEnum):
    """How far a connection has come, and what to say when time runs out there."""

    NAME = "its name was not resolved"
    FILES = "its certificate files were not read"
    SOCKET = "nothing accepted the connection"
    TLS = "the TLS handshake did not end"


def why(step: Step, error: OSError) -> str:
    """Return why a step failed."""
    return _WHY[step](error)


def _why_no_name(error: OSError) -> str:
    temporary = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    return "its name does not resolve" + (", for now" if temporary else "")


def _why_no_files(_error: OSError) -> str:
    return "its certificate files cannot be used; aiogate check says why"


_OF_SOCKETS: Final = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the connection was reset",
    errno.ETIMEDOUT: "the connection timed out",
    errno.EHOSTUNREACH: "there is no route to it",
    errno.ENETUNREACH: "there is no route to it",
    errno.EADDRNOTAVAIL: "there is no local port left",
    errno.EMFILE: "the gateway has no file descriptor left",
    errno.ENFILE: "the machine has no file descriptor left",
    errno.ENOENT: "its socket does not exist",
    errno.EACCES: "the gateway may not use its socket",
    errno.EPERM: "the gateway may not connect to it",
    errno.EAGAIN: "the queue of its socket is full",
}


def _why_no_socket(error: OSError) -> str:
    return _OF_SOCKETS.get(error.errno or 0, "none of its addresses accepted the connection")


_OF_CERTIFICATES: Final = {  # X509_V_ERR_ of OpenSSL's x509_vfy.h
    2: "its issuer is not trusted",
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its issuer is not trusted",
    20: "its issuer is not trusted",
    21: "its issuer is not trusted",
    23: "it has been revoked",
    62: "it is for another name",
    64: "it is for another address",
}


def _why_no_tls(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not valid: {_OF_CERTIFICATES.get(error.verify_code, 'it does not verify')}"
    reason = (getattr(error, "reason", None) or "").lower().replace("_", " ")
    return f"the TLS handshake failed: {reason or 'the connection was closed'}"


_WHY: Final[dict[Step, Callable[[OSError], str]]] = {
    Step.NAME: _why_no_name,
    Step.FILES: _why_no_files,
    Step.SOCKET: _why_no_socket,
    Step.TLS: _why_no_tls,
}
