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
    "is_loopback",
    "is_positive",
]

Check = Callable[[Any, Any, Any], None]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_CAPABILITY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~@-]{0,63}")
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


def is_loopback(_owner: object, _attribute: object, value: Any) -> None:  # noqa: ANN401 - model.py's Address
    """Check that an address cannot be reached from other machines."""
    try:
        reachable = not ip_address(value.host).is_loopback
    except ValueError:
        reachable = value.host != "localhost"
    if reachable:
        _refuse(f"must be on loopback in this version, such as 127.0.0.1:9090, got '{value}'")


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
