"""The head of a request on its way to an agent: the client's headers, and who calls, on whose behalf, in which trace.

What all requests to one agent have in common is worked out once. Knows nothing of sockets. RFC 9112 section 3, the
``X-Forwarded-*`` family, W3C Trace Context.
"""

import re
from typing import Final
from urllib.parse import quote

from multidict import istr

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.exchange import Exchange, Principal
from aiogate.proxy.fields import HOP_BY_HOP
from aiogate.proxy.upstream.endpoint import Endpoint

__all__ = ["Callers", "Envelope"]

_TRACEPARENT: Final = istr("traceparent")
_TRACESTATE: Final = istr("tracestate")
_VIA: Final = istr("Via")
_TRACE: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_PLAIN: Final = re.compile(r"[ -$&-~]*")
"""Visible ASCII and spaces without ``%``, which marks an encoded value."""
_REPLACED: Final = HOP_BY_HOP | frozenset(
    {
        "content-length",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "traceparent",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-request-id",
        "x-user-id",
        "x-user-roles",
    }
)
_SPAN: Final = 16
"""Where the half of the request id begins that names the gateway's span; its last bit is always set."""
_MOST_NAMES: Final = 1024
_MOST_PRINCIPALS: Final = 10_000
_LONGEST_LINES: Final = 2048
"""Characters; who has more, by a token with hundreds of roles, is not kept: all of them together stay below 20 MB."""
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FORGING: Final = re.compile(r"[\0\r\n]")
"""With one of them a value would be another line."""


class Callers:
    """Who calls, as header lines; made once for each principal, and kept for all agents together."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Principal, str]] = {}

    def lines(self, principal: Principal | None) -> str:
        """Return the lines that name the principal, each with its CRLF behind it."""
        kept = self._kept.get(id(principal))
        if kept is not None:
            return kept[1]
        if principal is None:
            return ""
        lines = f"X-User-Id: {_plain(principal.id)}\r\n"
        if principal.roles:
            lines += f"X-User-Roles: {','.join(_plain(role) for role in sorted(principal.roles))}\r\n"
        if len(lines) > _LONGEST_LINES:
            return lines
        if len(self._kept) >= _MOST_PRINCIPALS:
            self._kept.clear()
        self._kept[id(principal)] = principal, lines  # kept alive, so that no other object gets its id
        return lines


class Envelope:
    """What the head of every request to one agent is made of.

    Args:
        agent: its ``headers`` go into every request, in place of what the client sent.
        endpoint: gives ``Host`` and what stands before every path.
        callers: names whoever calls.
    """

    def __init__(self, agent: Agent, endpoint: Endpoint, callers: Callers | None = None) -> None:
        self._id = agent.id
        self._base = endpoint.base_path
        own = {name: value.reveal() for name, value in agent.headers.items()}
        self._replaced = _REPLACED | {name.lower() for name in own}
        self._leads: dict[str, str] = {}
        self._version_and_host = f" HTTP/1.1\r\nHost: {endpoint.authority}"
        self._own = f"X-Forwarded-Prefix: /agents/{agent.id}" + "".join(
            f"\r\n{name}: {value}" for name, value in own.items()
        )
        self._is_broken = bool(_FORGING.search(endpoint.authority)) or any(
            _CONTROLS.search(f"{name}{value}") for name, value in own.items()
        )
        self._who = (callers or Callers()).lines

    def head(self, exchange: Exchange, framing: str, host: str) -> bytes:
        """Return the head, its empty line included; ``UpstreamError`` for control characters in it.

        What was not UTF-8 when it was read becomes the same bytes again.

        Args:
            exchange: its ``trace_id`` is set.
            framing: header lines that tell how the body is framed, or of an upgrade, each with its CRLF before it.
            host: what the client called the gateway.
        """
        headers = exchange.request_headers
        path = f"{self._base}{exchange.path}?{exchange.query}" if exchange.query else self._base + exchange.path
        trace = self._continue_trace(exchange)
        via = ", ".join(headers.getall(_VIA)) if _VIA in headers else ""
        leads = self._leads
        pieces = ["", exchange.method, " ", path if path[:1] == "/" else "/" + path, self._version_and_host, ""]
        for name, value in headers.items():
            lead = leads.get(name)
            if lead is None:
                lead = self._lead(name)
            if lead:
                pieces.append(lead)
                pieces.append(value)
        given = "".join(pieces[1::2])
        if "\n" in given or "\r" in given or "\0" in given or self._is_broken:
            raise self._forged()
        if host:
            host = f"X-Forwarded-Host: {host}\r\n"
        return (
            f"{''.join(pieces)}\r\n{self._who(exchange.principal)}X-Request-Id: {exchange.id}\r\n"
            f"X-Forwarded-For: {exchange.client_address}\r\nX-Forwarded-Proto: {exchange.scheme}\r\n{host}"
            f"Via: {via + ', ' if via else ''}1.1 aiogate\r\ntraceparent: {trace}\r\n{self._own}{framing}\r\n\r\n"
        ).encode("utf-8", "surrogateescape")

    def probe(self, path: str) -> bytes:
        """Return a request of the gateway's own, which asks whether the endpoint is well."""
        own = self._own.partition("\r\n")
        return f"GET {self._base}{path}{self._version_and_host}\r\nUser-Agent: aiogate\r\n{own[2]}{own[1]}\r\n".encode()

    def _continue_trace(self, exchange: Exchange) -> str:
        """Return ``traceparent`` for the agent: the client's trace, or one of our own."""
        headers = exchange.request_headers
        given = headers.get(_TRACEPARENT)
        match = _TRACE.fullmatch(given) if given is not None else None
        if match is not None:
            exchange.trace_id = match[1]
            return f"00-{match[1]}-{exchange.id[_SPAN:]}-{match[2]}"
        if _TRACESTATE in headers:
            headers.popall(_TRACESTATE)
        exchange.trace_id = exchange.id
        return f"00-{exchange.id}-{exchange.id[_SPAN:]}-01"

    def _lead(self, name: str) -> str:
        """Return what stands before the value of a header that goes on, ``""`` for one that does not."""
        if _FORGING.search(name):
            raise self._forged()
        if len(self._leads) >= _MOST_NAMES:
            self._leads.clear()
        goes_on = name.lower().replace("_", "-") not in self._replaced  # CGI and WSGI take both spellings for one
        self._leads[name] = lead = f"\r\n{name}: " if goes_on else ""
        return lead

    def _forged(self) -> UpstreamError:
        return UpstreamError("agent_protocol_error", f"the request to agent {self._id!r} holds control characters")


def _plain(value: str) -> str:
    """Return a value that a header can hold; what is not visible ASCII is percent-encoded UTF-8."""
    return value if _PLAIN.fullmatch(value) and "," not in value else quote(value, safe="")
