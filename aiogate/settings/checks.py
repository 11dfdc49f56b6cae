"""What single values of a config have to be; validators for ``model.py``.

Knows nothing of files or of the rest of the config. URLs are in ``urls.py``, certificates in ``pem.py``.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Final, NoReturn

import attrs

from aiogate.agent import Secret
from aiogate.settings.faults import Faults, fail

__all__ = [
    "AtLeast",
    "are_capabilities",
    "are_headers",
    "are_networks",
    "are_roles",
    "at_least",
    "can_be_reached",
    "is_positive",
    "is_sha256",
    "is_token",
]

Check = Callable[[Any, Any, Any], None]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_CAPABILITY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~@-]{0,63}")
_A_TOKEN: Final = re.compile(r"[!-~]{16,512}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NOT_IN_A_VALUE: Final = re.compile(r"[\r\n\0]")  # RFC 9110 section 5.5
_NOT_TO_SET: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@attrs.frozen
class AtLeast:
    """Checks that a number, if there is one, is not below ``least``; one that can be asked what it checks."""

    least: int

    def __call__(self, _owner: object, _attribute: object, value: float | None) -> None:
        """Check a number."""
        if value is not None and value < self.least:
            _refuse(f"expected {self.least} or more, got {value}")


def at_least(least: int) -> Check:
    """Return the check that a number, if there is one, is not below ``least``."""
    return AtLeast(least)


def is_positive(_owner: object, _attribute: object, value: Any) -> None:  # noqa: ANN401 - a number or None
    """Check that a number, if there is one, is above 0."""
    if value is not None and value <= 0:
        _refuse(f"expected more than 0, got {value}")


def are_networks(_owner: object, _attribute: object, values: tuple[str, ...]) -> None:
    """Refuse what is no address and no network such as ``10.0.0.0/8``."""
    for value in values:
        ip_network(value)


def are_capabilities(_owner: object, _attribute: object, values: tuple[str, ...]) -> None:
    """Check that capabilities can stand in a path, where ``+`` joins several."""
    for value in values:
        if not _CAPABILITY.fullmatch(value):
            _refuse(f"a capability has up to 64 letters, digits and '_.:~@-' and begins with no sign, got {value!r}")


def can_be_reached(host: str) -> bool:
    """Tell whether a listener on ``host`` can be called from other machines."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def is_token(_owner: object, _attribute: object, value: Secret | None) -> None:
    """Check that nobody guesses a token, and that it can stand in a header."""
    if value is not None and not _A_TOKEN.fullmatch(value.reveal()):
        _refuse("expected 16 to 512 visible ASCII characters, such as what `openssl rand -hex 32` prints")


def is_sha256(_owner: object, _attribute: object, value: str | None) -> None:
    """Check that a text is the hash of something."""
    if value is not None and not _SHA256.fullmatch(value):
        _refuse("expected 64 hexadecimal digits, lower case")


def are_roles(_owner: object, _attribute: object, value: Any) -> None:  # noqa: ANN401 - a role, several or None
    """Check that roles are named: an empty list or name would let everybody or nobody in by accident."""
    if value is None:
        return
    if not value or "" in ({value} if isinstance(value, str) else value):
        _refuse("expected the name of a role; leave the key out to let everybody in")


def are_headers(_owner: object, _attribute: object, value: Mapping[str, Secret]) -> None:
    """Check that headers can be put into a request; each one that cannot is a fault of its own."""
    faults = Faults()
    seen = set[str]()
    for name, secret in value.items():
        with faults.at(name):
            _check_header(name.lower(), secret, seen)
    faults.raise_any()


def _check_header(name: str, secret: Secret, seen: set[str]) -> None:
    if not _TOKEN.fullmatch(name):
        fail("is no name of a header")
    if name in _NOT_TO_SET:
        fail("is the gateway's to set")
    if name in seen:
        fail("is there twice; upper and lower case are the same")
    if _NOT_IN_A_VALUE.search(secret.reveal()):
        fail("expected a value without line breaks and NUL")
    seen.add(name)


def _refuse(msg: str) -> NoReturn:
    raise ValueError(msg)
