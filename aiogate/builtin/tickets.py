"""``tickets``: lets a page open an ``EventSource`` or a WebSocket, which cannot send headers, without a key in a URL.

``POST /tickets`` with ``{"path": "/agents/support/events"}``, authenticated as ever, answers with a ticket; its holder
may make one ``GET`` on that path with ``?ticket=...``, as the principal who has asked, within ``lifetime_seconds``. It
is signed by ``secret``, never reaches the agent, and stands in no log. Once means once over all gateways on one state.
It is worth no more than the key that it was sold for: when that is revoked, so is the ticket.
"""

import base64
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from typing import Any, Final
from urllib.parse import unquote

import attrs
import orjson

from aiogate import (
    ANONYMOUS,
    Claim,
    Counted,
    Exchange,
    Gateway,
    Key,
    Principal,
    Refusal,
    Reply,
    Secret,
    hookimpl,
    refusal,
)

__all__ = ["Tickets", "TicketsConfig"]

_PATH: Final = "/tickets"
_CALL: Final = re.compile(r"/agents/(?P<agent>[^/?#\s]+)(?:/[^?#\s]*)?")
_NAME: Final = "ticket"
_MOST_BODY_BYTES: Final = 8192
_LONGEST: Final = 8192
_SHORTEST_SECRET: Final = 32
_USED: Final = Key[tuple[str, float]]("tickets.used")


def _not_good(why: str) -> Refusal:
    return refusal("unauthenticated", f"the ticket is not good: {why}")


_SPENT: Final = _not_good("it was used before")


def _is_long(_owner: object, _attribute: object, secret: Secret) -> None:
    if len(secret.reveal()) < _SHORTEST_SECRET:
        msg = f"expected a secret of at least {_SHORTEST_SECRET} characters, such as openssl rand -hex 32 makes"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class TicketsConfig:
    """``[plugins.tickets]``.

    Args:
        secret: what tickets are signed with, as ``${AIOGATE_TICKET_SECRET}``; gateways behind one address share it.
        lifetime_seconds: for how long a ticket may be used; what it has opened may last longer.
    """

    secret: Secret = attrs.field(validator=_is_long)
    lifetime_seconds: int = attrs.field(
        default=30, validator=attrs.validators.and_(attrs.validators.ge(1), attrs.validators.le(300))
    )


class Tickets:
    """Sells tickets, and takes them; stands before the plugins that ask for a key."""

    Config = TicketsConfig
    enforces = frozenset({"principal"})

    def __init__(self, config: TicketsConfig) -> None:
        """Keep the secret."""
        self._secret = config.secret.reveal().encode()
        self._lifetime = config.lifetime_seconds
        self._admits: tuple[Callable[[str, Exchange], bool], ...] = ()

    @hookimpl
    def lifespan(self, gateway: Gateway) -> None:
        """Find who knows whether a key still stands."""
        plugins = gateway.plugins.values()
        self._admits = tuple(plugin.admits for plugin in plugins if hasattr(plugin, "admits"))

    @hookimpl
    def pre_request(self, exchange: Exchange) -> Refusal | None:
        """Say who calls, by the ticket in the query, which goes no further."""
        if not exchange.query:
            return None
        parts = exchange.query.split("&")
        tickets = [part.partition("=")[2] for part in parts if _names_a_ticket(part)]
        if not tickets:
            return None
        exchange.query = "&".join(part for part in parts if not _names_a_ticket(part))
        if len(tickets) > 1 or (exchange.principal is not None and exchange.principal is not ANONYMOUS):
            return _not_good("there are two callers at once")
        return self._take(tickets[0], exchange)

    @hookimpl
    def claims(self, exchange: Exchange) -> tuple[Claim, ...]:
        """Use the ticket up: a refused exchange has not used it."""
        used = exchange.get(_USED)
        if used is None:
            return ()
        ticket_id, seconds = used
        return (
            Claim(
                "ticket",
                f"ticket:{ticket_id}",
                Counted.WINDOW,
                1,
                seconds,
                on_state_error="refuse",
                otherwise=_SPENT,
            ),
        )

    def pages(self) -> Mapping[str, Callable[[Exchange], Awaitable[Reply | Refusal]]]:
        """Return what authenticated callers may ask for beside the agents."""
        return {_PATH: self._sell}

    async def _sell(self, exchange: Exchange) -> Reply | Refusal:
        if exchange.method != "POST":
            return refusal("method_not_allowed", "a ticket is asked for by POST", headers=(("Allow", "POST"),))
        path = _path_in(await exchange.read_body(_MOST_BODY_BYTES))
        call = _CALL.fullmatch(path) if path is not None else None
        if path is None or call is None:
            return refusal("bad_request", 'expected {"path": "/agents/NAME/..."}, without a query')
        if all(agent.id != call["agent"] for agent in exchange.candidates):
            lost = next((why for agent, why in exchange.lost if agent.id == call["agent"]), None)
            return lost or refusal("unknown_agent", f"there is no agent {call['agent'][:64]!r}")
        ticket = self._signed(
            {
                "id": token_hex(16),
                "path": path,
                "until": int(exchange.clock.wall()) + self._lifetime,
                "principal": _plain(exchange.principal or ANONYMOUS),
                "by_key": self._stands(exchange.principal, exchange),
            }
        )
        if len(ticket) > _LONGEST:
            return refusal("bad_request", f"what is known of you does not fit into {_LONGEST} characters")
        said = {"ticket": ticket, "url": f"{path}?{_NAME}={ticket}", "expires_in_seconds": self._lifetime}
        body = orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
        return Reply(status=201, body=body, headers=(("Cache-Control", "no-store"),))

    def _signed(self, said: Mapping[str, Any]) -> str:
        payload = _text(orjson.dumps(said))
        return f"{payload}.{_text(hmac.digest(self._secret, payload.encode(), 'sha256'))}"

    def _take(self, ticket: str, exchange: Exchange) -> Refusal | None:
        payload, _, signature = ticket[:_LONGEST].partition(".")
        expected = _text(hmac.digest(self._secret, payload.encode("utf-8", "replace"), "sha256"))
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            return _not_good("it is not signed by this gateway")
        said = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        left = said["until"] - exchange.clock.wall()
        if left <= 0:
            return _not_good("its time is over")
        if exchange.method != "GET" or exchange.full_path != said["path"]:
            return _not_good(f"it is for GET {said['path']}")
        principal = Principal(**{**said["principal"], "roles": frozenset(said["principal"]["roles"])})
        if said["by_key"] and not self._stands(principal, exchange):
            return _not_good("the key that it was sold for is not good any more")
        exchange[_USED] = said["id"], left + 1.0
        exchange.principal = principal
        return None

    def _stands(self, principal: Principal | None, exchange: Exchange) -> bool:
        """Tell whether the principal has a key that is known here, and good."""
        key_id = None if principal is None else principal.key_id
        return key_id is not None and any(admits(key_id, exchange) for admits in self._admits)


def _names_a_ticket(part: str) -> bool:
    """Tell whether a part of a query is a ticket, however its name is spelt: an agent would read it so."""
    return unquote(part.partition("=")[0]) == _NAME


def _path_in(body: bytes) -> str | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    path = said.get("path") if isinstance(said, dict) else None
    return path if isinstance(path, str) else None


def _plain(principal: Principal) -> dict[str, Any]:
    return {**attrs.asdict(principal), "roles": sorted(principal.roles)}


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
