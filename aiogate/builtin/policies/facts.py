"""What a condition sees of an exchange: the variables, their types, and where each value comes from.

Only what a condition mentions is asked for. A value that nobody knows is left out, so that a condition which needs it
fails, and denies. Knows nothing of CEL's library or of rules.

=========================== ===================== ==================================================================
``principal.id``            string
``principal.roles``         list of strings
``principal.department``    string                ``""`` where there is none; so are the next two
``principal.key_id``        string
``principal.cost_center``   string
``principal.attributes``    map of strings        ``has(principal.attributes.team) && ...``
``agent.id``                string
``agent.capabilities``      list of strings
``agent.tags``              list of strings
``agent.cost_center``       string                ``""`` where there is none
``client.ip``               string                see ``ip_in``
``request.method``          string
``request.path``            string                behind the agent's id, as an agent may read it: decoded once, without
                                                  empty and ``.`` segments; ``/`` where there is none
``request.headers``         map of strings        names in lower case; what came several times is joined by ``", "``
``request.query``           map of lists          decoded; ``"1" in request.query.debug``
``request.content_length``  int or null           of the body in bytes; null where it is not known beforehand
``now.time``                timestamp             see ``time_between``
``now.weekday``             int                   1 is Monday, 7 is Sunday; in the ``timezone`` of the settings
``now.hour``                int                   0 to 23; likewise
``mcp.method``              string                ``"tools/call"``; ``""`` where the agent's ``protocol`` is not ``mcp``
``mcp.tool``                string                the tool that is called, ``""`` where none is
``a2a.method``              string                ``"SendMessage"``, as 1.0 calls it; ``""`` where that is not ``a2a``
``usage.budget_share``      double                of the tightest budget, what is used and held: 1.0 is all of it
                                                  and 0.0 stands where there is none; ``budgets`` runs before
``body``                    anything              JSON; ``{}`` where there is none; only with ``needs_body = true``
=========================== ===================== ==================================================================
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import attrs
import orjson

from aiogate import Agent, Call, Exchange

__all__ = ["BODY", "CALLS", "NAMES", "TOLD", "UNKNOWN", "Facts", "plain_path"]

BODY: Final = "body"
NAMES: Final[Mapping[str, str]] = {
    "principal.id": "string",
    "principal.roles": "list<string>",
    "principal.department": "string",
    "principal.key_id": "string",
    "principal.cost_center": "string",
    "principal.attributes": "map<string, string>",
    "agent.id": "string",
    "agent.capabilities": "list<string>",
    "agent.tags": "list<string>",
    "agent.cost_center": "string",
    "client.ip": "string",
    "request.method": "string",
    "request.path": "string",
    "request.headers": "map<string, string>",
    "request.query": "map<string, list<string>>",
    "request.content_length": "dyn",
    "now.time": "timestamp",
    "now.weekday": "int",
    "now.hour": "int",
    "mcp.method": "string",
    "mcp.tool": "string",
    "a2a.method": "string",
    "usage.budget_share": "double",
    BODY: "dyn",
}
CALLS: Final = frozenset({"mcp.method", "mcp.tool", "a2a.method"})
"""What has to be read out of a request in its agent's protocol."""
TOLD: Final = frozenset({"usage.budget_share"})
"""What another plugin has to tell, ahead of this one."""
UNKNOWN: Final = object()
"""Stands for a value that nobody knows."""

_OF_AGENT: Final[Mapping[str, Callable[[Agent], object]]] = {
    "agent.id": lambda agent: agent.id,
    "agent.capabilities": lambda agent: list(agent.capabilities),
    "agent.tags": lambda agent: list(agent.tags),
    "agent.cost_center": lambda agent: agent.cost_center or "",
}
_OF_PRINCIPAL: Final[Mapping[str, Callable[[Any], object]]] = {
    "principal.id": lambda principal: principal.id,
    "principal.roles": lambda principal: sorted(principal.roles),
    "principal.department": lambda principal: principal.department or "",
    "principal.key_id": lambda principal: principal.key_id or "",
    "principal.cost_center": lambda principal: principal.cost_center or "",
    "principal.attributes": lambda principal: dict(principal.attributes),
}


def plain_path(path: str) -> str:
    """Return a path as the most lenient agent may read it, so that no spelling gets round a rule."""
    plain = _clean(unquote(path, errors="replace"))
    segments = [segment for segment in plain.split("/") if segment not in {"", "."}]
    return "/" + "/".join(segments) + ("/" if segments and plain.endswith("/") else "")


@attrs.frozen
class Facts:
    """Asks an exchange for values; ``zone`` is where ``now`` is told."""

    zone: tzinfo

    def of_exchange(self, exchange: Exchange, names: Iterable[str]) -> dict[str, object]:
        """Return the values of those of ``names`` that are the same for every agent."""
        values = {name: self._value(exchange, name) for name in names if name not in _OF_AGENT}
        return {name: value for name, value in values.items() if value is not UNKNOWN}

    @staticmethod
    def of_agent(agent: Agent, names: Iterable[str]) -> dict[str, object]:
        """Return the values of those of ``names`` that are the agent's."""
        return {name: _OF_AGENT[name](agent) for name in names if name in _OF_AGENT}

    def _value(self, exchange: Exchange, name: str) -> object:
        if of_principal := _OF_PRINCIPAL.get(name):
            return UNKNOWN if exchange.principal is None else of_principal(exchange.principal)
        if name.startswith("now."):
            moment = datetime.fromtimestamp(exchange.clock.wall(), UTC)
            return moment if name == "now.time" else self._local(moment, name)
        return _OF_REQUEST[name](exchange)

    def _local(self, moment: datetime, name: str) -> int:
        local = moment.astimezone(self.zone)
        return local.hour if name == "now.hour" else local.isoweekday()


def _headers(exchange: Exchange) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in exchange.request_headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {_clean(value)}" if key in headers else _clean(value)
    return headers


def _query(exchange: Exchange) -> dict[str, list[str]]:
    return parse_qs(_clean(exchange.query), keep_blank_values=True, errors="replace")


def _body(exchange: Exchange) -> object:
    """Return the JSON that was read; UNKNOWN when it was not, or is no JSON."""
    if exchange.body is None:
        return UNKNOWN
    try:
        return orjson.loads(exchange.body) if exchange.body.strip() else {}
    except orjson.JSONDecodeError:
        return UNKNOWN


def _called(protocol: str, part: Callable[[Call], str]) -> Callable[[Exchange], object]:
    """Return what finds a part of the call: ``""`` where nobody speaks the protocol, UNKNOWN where it is not clear."""

    def find(exchange: Exchange) -> object:
        if all(agent.protocol != protocol for agent in exchange.candidates):
            return ""
        call = exchange.call
        if call is None or call.unclear or call.protocol != protocol:
            return UNKNOWN
        return _clean(part(call))

    return find


def _clean(text: str) -> str:
    """Return the text without the lone surrogates that stand for bytes which are no UTF-8; CEL takes none."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _or_unknown(value: object) -> object:
    return UNKNOWN if value is None or value == "" else value


_OF_REQUEST: Final[Mapping[str, Callable[[Exchange], object]]] = {
    "client.ip": lambda exchange: _or_unknown(exchange.client_address),
    "request.method": lambda exchange: exchange.method,
    "request.path": lambda exchange: plain_path(exchange.path),
    "request.headers": _headers,
    "request.query": _query,
    "request.content_length": lambda exchange: exchange.content_length,
    "mcp.method": _called("mcp", lambda call: call.method),
    "mcp.tool": _called("mcp", lambda call: call.tool),
    "a2a.method": _called("a2a", lambda call: call.method),
    "usage.budget_share": lambda exchange: _or_unknown(exchange.budget_share),
    BODY: _body,
}
