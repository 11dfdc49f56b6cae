"""Which headers cross the gateway, which stay behind and which it adds, in both directions.

Knows nothing of sockets or plugins. RFC 9110 section 7.6, RFC 7239's forerunners ``X-Forwarded-*``, W3C Trace Context.
"""

import re
from random import getrandbits
from typing import Final
from urllib.parse import quote

from multidict import CIMultiDict

from aiogate.exchange import Agent, Exchange

__all__ = ["HOP_BY_HOP", "clean_request", "clean_response", "put_context"]

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-authentication-info",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    },
)
_REQUEST_STAYS: Final = HOP_BY_HOP | {"content-length", "expect", "forwarded", "host", "http2-settings", "x-request-id"}
_SPOOFED: Final = ("x-user-", "x-agent-", "x-aiogate-", "x-forwarded-")
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_PLAIN: Final = re.compile(r"[ -$&-~]*")
"""Visible ASCII and spaces without ``%``, which marks an encoded value."""


def clean_request(headers: CIMultiDict[str]) -> None:
    """Take away what ends at the gateway: hop-by-hop headers, framing, and whatever pretends to come from aiogate."""
    named = _named_by_connection(headers) if "Connection" in headers else ()
    for name in list(headers):
        lower = name.lower().replace("_", "-")  # CGI and WSGI take both spellings for one
        if lower in _REQUEST_STAYS or lower.startswith(_SPOOFED) or lower in named:
            headers.popall(name, None)


def clean_response(headers: CIMultiDict[str]) -> None:
    """Take hop-by-hop headers, and what ``Connection`` names, out of an agent's response."""
    named = _named_by_connection(headers) if "Connection" in headers else ()
    for name in list(headers):
        lower = name.lower()
        if lower in HOP_BY_HOP or lower in named:
            headers.popall(name, None)


def put_context(exchange: Exchange, agent: Agent, *, host: str) -> None:
    """Put who calls, on whose behalf and in which trace into the request's headers, and the agent's credentials."""
    headers = exchange.request_headers
    principal = exchange.principal
    if principal is not None:
        headers["X-User-Id"] = _plain(principal.id)
        if principal.roles:
            headers["X-User-Roles"] = ",".join(_plain(role) for role in sorted(principal.roles))
    headers["X-Request-Id"] = exchange.id
    headers["X-Forwarded-For"] = exchange.client_address
    headers["X-Forwarded-Proto"] = exchange.scheme
    if host:
        headers["X-Forwarded-Host"] = host
    headers["X-Forwarded-Prefix"] = f"/agents/{agent.id}"
    headers["Via"] = f"{via}, 1.1 aiogate" if (via := headers.get("Via")) else "1.1 aiogate"
    _continue_trace(exchange)
    for name, value in agent.headers.items():
        headers[name] = value.reveal()


def _continue_trace(exchange: Exchange) -> None:
    headers = exchange.request_headers
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if match is None:
        headers.pop("tracestate", None)
    exchange.trace_id = match[1] if match else exchange.id
    headers["traceparent"] = f"00-{exchange.trace_id}-{getrandbits(64) | 1:016x}-{match[2] if match else '01'}"


def _named_by_connection(headers: CIMultiDict[str]) -> set[str]:
    return {token.strip().lower() for value in headers.getall("Connection") for token in value.split(",")}


def _plain(value: str) -> str:
    """Return a value that a header can hold; what is not visible ASCII is percent-encoded UTF-8."""
    return value if _PLAIN.fullmatch(value) and "," not in value else quote(value, safe="")
