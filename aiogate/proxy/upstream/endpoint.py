"""Where an agent listens, taken out of its URL once."""

from functools import lru_cache
from urllib.parse import urlsplit

import attrs

__all__ = ["Endpoint", "endpoint_of"]


@attrs.frozen
class Endpoint:
    """Host and port to connect to, the ``Host`` header for it, and the path that every target begins with."""

    host: str
    port: int
    tls: bool
    authority: str
    base_path: str


@lru_cache(maxsize=1024)
def endpoint_of(url: str) -> Endpoint:
    """Return the endpoint of an agent's URL, which the settings have checked."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    return Endpoint(parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.netloc, parts.path.rstrip("/"))
