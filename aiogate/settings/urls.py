"""What an agent's URL may be: ``http``, ``https``, or a Unix socket; for ``model.py``.

No message here quotes a URL that may hold a credential.
"""

import re
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit, urlunsplit

from yarl import URL

from aiogate.settings.faults import Faults, fail

__all__ = ["are_upstream_urls", "ascii_url", "is_server_name", "is_upstream_url"]

_URL: Final = "expected a URL such as 'http://support-agent:8001' or 'https://...'"
_UNIX: Final = "expected a Unix socket such as 'unix:/run/agent.sock', or 'unix:/run/agent.sock:/base' with a base path"
_VISIBLE: Final = re.compile(r"[!-~]*")
_UNIX_URL: Final = re.compile(r"unix:(?P<socket>/(?!/)[!-9;-~]*[!-.0-9;-~])(?::(?:/[!-~]*)?)?")
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_LONGEST_SOCKET_PATH: Final = 107  # unix(7): 108 bytes with the NUL


def is_upstream_url(_owner: object, _attribute: object, value: str) -> None:
    """Check that a URL names an upstream to whose path the path of a request can be appended."""
    parts = _split(value)
    if "@" in parts.netloc:
        _refuse("credentials do not belong into a URL; put credentials into headers")
    if "?" in value or "#" in value:
        _refuse("expected no query and no fragment")
    if parts.scheme == "unix":
        _check_unix(value)
    elif parts.scheme not in {"http", "https"} or not parts.hostname or not _is_visible(value):
        _refuse(_URL if "@" in value else f"{_URL}, got {value!r}")


def are_upstream_urls(owner: object, attribute: object, values: tuple[str, ...]) -> None:
    """Check the URLs of an agent's endpoints, each for itself; no two may be the same."""
    faults = Faults()
    for index, value in enumerate(values):
        with faults.at(index):
            _check_one(owner, attribute, value)
            if value in values[:index]:
                fail("is there twice")
    faults.raise_any()


def _check_one(owner: object, attribute: object, value: str) -> None:
    try:
        is_upstream_url(owner, attribute, value)
    except ValueError as error:
        fail(str(error))


def is_server_name(_owner: object, _attribute: object, value: str | None) -> None:
    """Check that a name is one that a certificate can hold."""
    if value is not None and not _NAME.fullmatch(value):
        _refuse(f"expected the name of a host in ASCII, such as 'agents.example.com', got {value!r}")


def ascii_url(url: str) -> str:
    """Return a URL with its host as it is in DNS (IDNA); raises ``ValueError`` when it cannot be there."""
    parts = urlsplit(url)
    if parts.netloc.isascii():
        return url
    host = URL.build(scheme="http", host=parts.hostname or "").raw_host
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=f"{host}{port}"))


def _is_visible(url: str) -> bool:
    try:
        return bool(_VISIBLE.fullmatch(ascii_url(url)))
    except ValueError:
        return False


def _check_unix(value: str) -> None:
    found = _UNIX_URL.fullmatch(value)
    if found is None:
        _refuse(_UNIX if "@" in value else f"{_UNIX}, got {value!r}")
    if len(found["socket"]) > _LONGEST_SOCKET_PATH:
        _refuse(f"the path of a Unix socket has up to {_LONGEST_SOCKET_PATH} characters, got {len(found['socket'])}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # checked when it is read
    except ValueError:
        _refuse(f"{_URL}; its host or its port is none")
    return parts


def _refuse(msg: str) -> NoReturn:
    raise ValueError(msg)
