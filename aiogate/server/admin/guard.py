"""Who may call the admin listener: whoever is on the machine, who has its token, or a principal with its role.

What counts is the address that the listener is bound to, not the one that a request came in by: a proxy on the machine
calls from loopback too. Probes are open to everybody; a Unix socket is guarded by who may open its file.
"""

import hashlib
import hmac
import inspect
import logging
import secrets
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from aiogate.errors import AiogateError, Refusal, Refused, refusal
from aiogate.exchange import Exchange, Principal
from aiogate.server.admin.asked import CALLER
from aiogate.server.admin.running import gateway_of
from aiogate.server.choose import OPERATOR
from aiogate.server.generation import Generation
from aiogate.settings.checks import can_be_reached
from aiogate.settings.model import Address, AdminSettings

__all__ = ["REACHABLE", "check_listener", "let_in"]

REACHABLE: Final = web.AppKey("reachable", bool)
"""Whether other machines can call the listener."""
_log: Final = logging.getLogger(__name__)
_PROBES: Final = frozenset({"/livez", "/readyz", "/healthz"})
_BEARER: Final = "bearer "
_OWN_PAGES: Final = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` of a page that this listener served itself, and of a person who typed the address."""
_WHO: Final = refusal(
    "unauthenticated",
    "operators prove themselves by 'Authorization: Bearer <token>', the token of [admin] or a key with their role",
    headers=(("WWW-Authenticate", 'Bearer realm="aiogate operators"'),),
)


def check_listener(address: Address, generation: Generation) -> bool:
    """Tell whether other machines can call it; raises ``AiogateError`` where strangers could steer the gateway."""
    admin, reachable = generation.settings.admin, can_be_reached(address.host)
    if reachable and not _has_token(admin) and not _authenticators(generation):
        msg = f"operators would be served on {address}, which other machines can reach, and nothing guards it: "
        msg += "set admin.token, or hand over a socket on loopback"
        raise AiogateError(msg)
    return reachable


async def let_in(request: web.Request) -> None:
    """Return when a request may be served, with who asks noted where that is known; raises ``Refused``."""
    if request.method not in {"GET", "HEAD"} and not _is_own_page(request):
        raise Refused(refusal("foreign_origin", "only pages of this listener may change anything"))
    if request.path in _PROBES and "verbose" not in request.query:
        return
    generation = gateway_of(request).generation
    admin = generation.settings.admin
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not isinstance(name, tuple):
        return
    if not request.app[REACHABLE] and not _has_token(admin):
        _check_host(request)
        return
    said = request.headers.get("Authorization", "")
    if said[: len(_BEARER)].lower() == _BEARER and _is_token(admin, said[len(_BEARER) :].strip()):
        return
    principal = await _principal(request, generation)
    if principal is None:
        raise Refused(_WHO)
    if OPERATOR not in principal.roles:
        raise Refused(refusal("role_required", f"principal {principal.id!r} has not the role {OPERATOR!r}"))
    request[CALLER] = principal.id


def _is_own_page(request: web.Request) -> bool:
    """Tell whether a page of this listener asks, or no page at all.

    Browsers send ``Sec-Fetch-Site`` to loopback and by TLS alone: to http://0.0.0.0 ``Origin`` is all that tells.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None or origin is None:
        return site is None or site in _OWN_PAGES
    return origin.partition("://")[2].lower() == request.host.lower()


def _check_host(request: web.Request) -> None:
    """Refuse a name that a foreign page may have pointed to loopback (DNS rebinding), where nobody proves anything."""
    try:
        host = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        host = ""
    try:
        ip_address(host)
    except ValueError:
        if host == "localhost" or host.endswith(".localhost"):
            return
        detail = f"this listener is not called {host!r}; ask for localhost or an address, or set admin.token"
        raise Refused(refusal("foreign_origin", detail)) from None


def _has_token(admin: AdminSettings) -> bool:
    return admin.token is not None or admin.token_sha256 is not None


def _is_token(admin: AdminSettings, said: str) -> bool:
    if admin.token is not None:
        wanted = hashlib.sha256(admin.token.reveal().encode()).digest()
    else:
        wanted = bytes.fromhex(admin.token_sha256 or "")
    return hmac.compare_digest(hashlib.sha256(said.encode("utf-8", "replace")).digest(), wanted)


def _authenticators(generation: Generation) -> list[tuple[str, Any]]:
    """Return what the plugins ask callers by who say whose a request is, with their names."""
    pipeline = generation.pipeline
    return [
        (name, call)
        for name, call, _ in pipeline.stages.pre_request
        if "principal" in getattr(pipeline.plugins[name], "enforces", ())
    ]


async def _principal(request: web.Request, generation: Generation) -> Principal | None:
    """Return whose key or token came with a request, by the plugins that know; None: nobody's that they know."""
    exchange = _knock(request, generation)
    for name, call in _authenticators(generation):
        try:
            said = call(exchange)
            if inspect.isawaitable(said):
                said = await said
        except Refused as refused:
            said = refused.refusal
        except Exception as error:
            _log.exception("plugin %r failed to say who an operator is", name)
            raise Refused(refusal("plugin_failed", f"plugin {name!r} failed")) from error
        if isinstance(said, Refusal):
            exchange.principal = None  # whoever it may have named before
            continue
        if exchange.principal is not None:
            return exchange.principal
    return None


class _NoBody:
    """What a plugin may read of a request by which an operator knocks."""

    async def read(self, max_bytes: int) -> bytes:
        del max_bytes
        return b""


def _knock(request: web.Request, generation: Generation) -> Exchange:
    """Return a request of an operator's as the plugins know requests; it goes nowhere."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    clock = generation.clock
    return Exchange(
        id=secrets.token_hex(16),
        clock=clock,
        method=request.method,
        full_path=request.path,
        path=request.path,
        query=request.query_string,
        target=None,
        scheme="http",
        client_address=peer[0] if isinstance(peer, tuple) else "",
        request_headers=CIMultiDict(request.headers),
        content_length=0,
        candidates=list(generation.agents.values()),
        request_body=_NoBody(),
        generation=generation.number,
        started=clock.monotonic(),
        started_wall=clock.wall(),
    )
