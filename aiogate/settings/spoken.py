"""What a config may say of agents that speak a protocol, and of where clients call; validators for ``model.py``."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from aiogate.errors import Problem
from aiogate.settings.faults import Faults, fail

__all__ = ["are_methods", "are_public_urls", "check_protocol", "is_public_url", "without_address"]

_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing listens here


def is_public_url(_owner: object, _attribute: object, value: str) -> None:
    """Check that a URL is one that others' addresses can begin with: ``https://gateway.example.com/base``."""
    _check_url(value)


def are_public_urls(_owner: object, _attribute: object, values: tuple[str, ...]) -> None:
    """Check URLs likewise, each for itself."""
    faults = Faults()
    for index, value in enumerate(values):
        with faults.at(index):
            try:
                _check_url(value)
            except ValueError as error:
                fail(str(error))
    faults.raise_any()


def are_methods(_owner: object, _attribute: object, roles: Mapping[str, str]) -> None:
    """Check that methods and roles have names: an empty one would let everybody or nobody in by accident."""
    faults = Faults()
    for method, role in roles.items():
        with faults.at(method):
            if not method or not role:
                fail("expected the name of a role, such as CancelTask = 'operator'")
    faults.raise_any()


def check_protocol(protocol: str | None, wanted: tuple[str, ...]) -> None:
    """Check that an agent speaks a protocol for which a key is there."""
    if protocol not in wanted:
        msg = f"is for agents with protocol = {' or '.join(repr(one) for one in wanted)}"
        raise ValueError(msg)


def without_address(agents: Mapping[str, Any], server: Mapping[str, Any], host: str) -> Iterator[Problem]:
    """Yield that cards need the gateway's address, which a listener on all addresses does not tell."""
    speaking = [name for name, agent in agents.items() if isinstance(agent, dict) and agent.get("protocol") == "a2a"]
    speaking = [name for name in speaking if agents[name].get("rewrite_card") is not False]
    if speaking and "public_url" not in server and host in _EVERYWHERE:
        message = (
            f"is needed for the cards of agent {speaking[0]!r}: where clients call, such as 'https://gw.example.com'"
        )
        yield Problem("server.public_url", message)


def _check_url(value: str) -> None:
    expected = "expected a URL such as 'https://gateway.example.com', without query and fragment"
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or "@" in value or "?" in value or "#" in value or not value.isascii() or not value.isprintable():
        raise ValueError(f"{expected}, got {value!r}" if "@" not in value else expected)
