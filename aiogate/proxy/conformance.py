"""What a request must be beyond what its parser checks (RFC 9110, RFC 9112).

For the walk, before anything else. Knows nothing of agents or plugins.
"""

import re
from functools import lru_cache
from typing import Final

from multidict import istr

from aiogate.errors import Refusal, refusal
from aiogate.proxy.inbound import Inbound

__all__ = ["wrong_with"]

_TRANSFER_ENCODING: Final = istr("Transfer-Encoding")
_AUTHORITY: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~!$&'()*+;=%\x80-\U0010ffff-]*)(?::[0-9]*)?")
_UNWANTED: Final = frozenset({"CONNECT", "TRACE"})
"""One asks for a tunnel to anywhere, the other gives the agent's credentials back to the client."""


def wrong_with(inbound: Inbound) -> Refusal | None:
    """Return the 400, 405 or 501 for a request that no agent should see, None for a proper one."""
    if inbound.has_body and _TRANSFER_ENCODING in inbound.headers:
        codings = inbound.headers[_TRANSFER_ENCODING].strip().lower()
        if codings != "chunked":
            return refusal("bad_request", "the only transfer coding that is understood is 'chunked'")
    if inbound.method in _UNWANTED:
        return refusal("method_not_allowed", f"{inbound.method} is not for agents", headers=(("Allow", _ALLOWED),))
    return _wrong_host(inbound.host or "")


@lru_cache(maxsize=1024)
def _wrong_host(host: str) -> Refusal | None:
    if _AUTHORITY.fullmatch(host):
        return None
    return refusal("bad_request", "the Host header is no host")


_ALLOWED: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
