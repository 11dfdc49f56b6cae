"""Whether certificate files can be used, found out by loading them; for ``model.py``.

What is wrong is said with the path. Knows nothing of agents or connections.
"""

import ssl
from pathlib import Path
from typing import Final, NoReturn

__all__ = ["are_authorities", "check_identity", "is_readable"]

_KEY: Final = b"PRIVATE KEY-----"  # RFC 7468 sections 10 and 11, and the older forms of OpenSSL


def are_authorities(_owner: object, _attribute: object, path: Path | None) -> None:
    """Check that a file, if one is named, holds certificates."""
    if path is None:
        return
    _bytes_of(path)
    try:
        _context().load_verify_locations(path)
    except ssl.SSLError:
        _refuse(f"{path} holds no certificate in PEM")


def is_readable(_owner: object, _attribute: object, path: Path | None) -> None:
    """Check that a file, if one is named, can be read."""
    if path is not None:
        _bytes_of(path)


def check_identity(certificate: Path, key: Path | None) -> None:
    """Check that a certificate and its key belong together; raises ``ValueError``, ``OSError`` of the key's file."""
    held = _bytes_of(certificate)
    if b"CERTIFICATE-----" not in held:
        _refuse(f"{certificate} holds no certificate in PEM")
    keys = held if key is None else key.read_bytes()
    if _KEY not in keys:
        _refuse(f"{key or certificate} holds no private key in PEM" + ("" if key else "; name its file by client_key"))
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        return ""

    try:
        _context().load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if asked:
            _refuse(f"{key or certificate} holds a private key with a password; store it without one")
        if error.reason == "KEY_VALUES_MISMATCH":
            _refuse(f"the private key in {key or certificate} is not the certificate's")
        _refuse(f"{certificate} cannot be used as a certificate with its key")


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        _refuse(f"{path} cannot be read: {error.strerror or error}")


def _refuse(msg: str) -> NoReturn:
    raise ValueError(msg)
