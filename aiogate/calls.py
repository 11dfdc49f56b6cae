"""What a request calls in its agent's protocol: a method of A2A or MCP, and a tool; read from headers, path and body.

For plugins, the journal and the floors above. Pure: bytes go in, a ``Call`` comes out. What two readers could take for
two different calls is ``unclear``, so that nobody decides by the one and an agent acts by the other.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from json import loads
from typing import Any, Final
from urllib.parse import unquote

import attrs

__all__ = ["CALL_BYTES", "CARD", "EXTENDED_CARD", "METHODS", "TOO_LONG", "Call", "call_of", "same_method"]

CALL_BYTES: Final = 1024 * 1024
"""A body that is longer is not read for what it calls."""
_NAME_CHARACTERS: Final = 256
CARD: Final = "AgentCard"
"""What we call it to ask an A2A agent for its public card; the protocol has no name for that."""
EXTENDED_CARD: Final = "GetExtendedAgentCard"

METHODS: Final[Mapping[str, str]] = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/list": "ListTasks",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get": "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/list": "ListTaskPushNotificationConfigs",
    "tasks/pushNotificationConfig/delete": "DeleteTaskPushNotificationConfig",
    "agent/getAuthenticatedExtendedCard": EXTENDED_CARD,
    "agent/authenticatedExtendedCard": EXTENDED_CARD,
}
"""A2A 0.3's names of methods, and those of 1.0 for the same."""

_ROUTES: Final = tuple(
    (method, re.compile(rf"(?:^|/){path}/?$", re.IGNORECASE), name)
    for method, path, name in (
        ("POST", "message:send", "SendMessage"),
        ("POST", "message:stream", "SendStreamingMessage"),
        ("POST", "tasks/[^/]+:cancel", "CancelTask"),
        (None, "tasks/[^/]+:(?:re)?subscribe", "SubscribeToTask"),
        ("POST", "tasks/[^/]+/pushNotificationConfigs", "CreateTaskPushNotificationConfig"),
        (None, "tasks/[^/]+/pushNotificationConfigs", "ListTaskPushNotificationConfigs"),
        ("DELETE", "tasks/[^/]+/pushNotificationConfigs/[^/]+", "DeleteTaskPushNotificationConfig"),
        (None, "tasks/[^/]+/pushNotificationConfigs/[^/]+", "GetTaskPushNotificationConfig"),
        (None, r"\.well-known/agent(?:-card)?\.json", CARD),
        (None, "(?:agent/)?(?:authenticated)?extended(?:agent)?card", EXTENDED_CARD),
        (None, "v1/card", EXTENDED_CARD),
        (None, "tasks/[^/]+", "GetTask"),
        (None, "tasks", "ListTasks"),
    )
)
"""The paths of A2A's HTTP+JSON binding, of both generations, wherever an agent has them; None: every other method."""
_TOOL: Final = "tools/call"
_ENVELOPE: Final = frozenset({"method", "params", "name", "jsonrpc", "id"})
_ENCODED: Final = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=")
_BATCH: Final = "it holds several calls, of which each has to come by itself"
_TWICE: Final = "a member of its JSON is there twice, or in another spelling"
_LONG_NAME: Final = "the name of the method or of the tool is too long"
_NO_JSON: Final = "it is no JSON-RPC request"
_DIFFER: Final = "the headers Mcp-Method and Mcp-Name say something else than the body"
TOO_LONG: Final = f"it is longer than {CALL_BYTES} bytes"


@attrs.frozen(kw_only=True)
class Call:
    """What a request calls.

    Args:
        protocol: ``a2a`` or ``mcp``.
        method: of A2A by the names of 1.0, ``SendMessage``, whatever generation and binding the client speaks; of MCP
            as it is, ``tools/call``; ``""`` where nothing is called, as by ``GET`` for a stream.
        tool: the tool's name, ``""`` where none is called.
        id: of the JSON-RPC request, if it has one.
        unclear: why nobody can tell what is called, ``""`` where that is clear.
    """

    protocol: str = ""
    method: str = ""
    tool: str = ""
    id: str | int | None = None
    unclear: str = ""


_NOTHING: Final = Call()


class _TwiceError(ValueError):
    """A name is in an object twice."""


def same_method(name: str) -> str:
    """Return the name by which a ``Call`` has a method, for either generation's."""
    return METHODS.get(name, name)


def call_of(protocol: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Call:
    """Return what a request calls; ``body`` is None where it was not read, as it is too long.

    Args:
        protocol: ``a2a`` or ``mcp``.
        method: of HTTP.
        path: behind the agent's id, as it was encoded.
        headers: the request's, by names in any case.
        body: all of it.
    """
    found = _of_a2a(method, path, body) if protocol == "a2a" else _of_mcp(method, headers, body)
    return attrs.evolve(found, protocol=protocol)


def _of_a2a(method: str, path: str, body: bytes | None) -> Call:
    plain = unquote(path, errors="replace")
    for verb, route, name in _ROUTES:
        if (verb is None or verb == method) and route.search(plain):
            return Call(method=name)
    return _called(body) if method == "POST" else _NOTHING


def _of_mcp(method: str, headers: Mapping[str, str], body: bytes | None) -> Call:
    if method != "POST":
        return _NOTHING
    return _checked(_called(body) if body is not None else _of_headers(headers), headers)


def _called(body: bytes | None) -> Call:
    """Return what a JSON-RPC request calls; strictly, for any reader has to find the same in it."""
    if body is None or len(body) > CALL_BYTES:
        return Call(unclear=TOO_LONG)
    try:
        said = loads(body, object_pairs_hook=_once)
    except _TwiceError:
        return Call(unclear=_TWICE)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return Call(unclear=_BATCH if isinstance(said, list) else _NO_JSON)
    method, params, known = said.get("method"), said.get("params"), said.get("id")
    of_tool = params if method == _TOOL and isinstance(params, dict) else {}
    if not _is_plain(said) or not _is_plain(of_tool):
        return Call(unclear=_TWICE)
    name = of_tool.get("name")
    if any(isinstance(text, str) and len(text) > _NAME_CHARACTERS for text in (method, name)):
        return Call(unclear=_LONG_NAME)
    return Call(
        method=same_method(method) if isinstance(method, str) else "",
        tool=name if isinstance(name, str) else "",
        id=known if type(known) in {str, int} else None,
    )


def _checked(call: Call, headers: Mapping[str, str]) -> Call:
    """Return the call unless the headers of MCP's era of 2026-07-28 name another one, as its servers do."""
    method, name = headers.get("Mcp-Method"), headers.get("Mcp-Name")
    if call.unclear or not call.method:
        return call
    if method is not None and method != call.method:
        return Call(unclear=_DIFFER)
    if name is not None and call.method == _TOOL and _decoded(name) != call.tool:
        return Call(unclear=_DIFFER)
    return call


def _of_headers(headers: Mapping[str, str]) -> Call:
    """Return what the headers alone say, for the journal; whoever decides by it reads the body."""
    method = headers.get("Mcp-Method", "")
    tool = _decoded(headers.get("Mcp-Name", "")) if method == _TOOL else ""
    return Call(method=method, tool=tool, unclear="" if method else TOO_LONG)


def _decoded(name: str) -> str:
    match = _ENCODED.fullmatch(name)
    if match is None:
        return name
    try:
        return base64.b64decode(match[1], validate=True).decode()
    except (binascii.Error, ValueError):
        return name


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def _is_plain(found: Mapping[str, Any]) -> bool:
    """Tell whether no member has a name that some readers take for one that decides, as Go's do: ``Method``."""
    return all(name in _ENVELOPE or name.casefold() not in _ENVELOPE for name in found)
