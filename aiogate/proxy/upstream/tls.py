"""TLS towards agents: which files a connection is verified by, and the contexts made of them.

By the standard library, verification always on, TLS 1.2 or newer, ALPN ``http/1.1``. Knows nothing of sockets.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

import attrs

__all__ = ["Contexts", "Tls"]

_PROTOCOLS: Final = ["http/1.1"]  # RFC 7301 section 6


@attrs.frozen(cache_hash=True)
class Tls:
    """What an agent is verified by and what it is shown, all in PEM.

    Args:
        ca_file: the authorities that are trusted, in place of the system's.
        client_certificate: shown to the agent, its chain behind it and its key too where ``client_key`` is None.
        client_key: of ``client_certificate``.
    """

    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


@attrs.define
class Contexts:
    """The contexts of one gateway: each is made once, for all endpoints of the same files."""

    _made: dict[Tls, ssl.SSLContext] = attrs.field(factory=dict)

    @classmethod
    def of(cls, files: Iterable[Tls]) -> Self:
        """Make the contexts of all these; blocks, raises ``OSError``."""
        contexts = cls()
        for tls in files:
            contexts.make(tls)
        return contexts

    def get(self, tls: Tls) -> ssl.SSLContext | None:
        """Return the context if it has been made."""
        return self._made.get(tls)

    def make(self, tls: Tls) -> ssl.SSLContext:
        """Read the files and keep the context, in place of an older one; raises ``OSError``, ``ssl.SSLError`` is one.

        Takes some 10 ms for the system's authorities: for start and reload, or a thread.
        """
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(_PROTOCOLS)
        if tls.client_certificate is not None:
            # without a password OpenSSL would ask the terminal for one
            context.load_cert_chain(tls.client_certificate, tls.client_key, password="")
        self._made[tls] = context
        return context
