"""The A2A task that an exchange is about, and the call that cancels it: JSON-RPC of A2A 0.3 and 1.0.

For kills. Knows nothing of connections. What a plugin has read of the request tells the version by the method's name;
else the stream's first event does, by how its result looks.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from aiogate.exchange import Exchange

__all__ = ["cancelling", "task_of"]

_CANCEL: Final = {"0.3": "tasks/cancel", "1.0": "CancelTask"}
_MOST_BYTES: Final = 256 * 1024
_MOST_TRIES: Final = 40
"""So many places are tried at which an event may be mended; a kill waits for that, and agents choose what they send."""
_MEMBERS: Final = ("task", "statusUpdate", "artifactUpdate", "message")
"""What a result of A2A 1.0 is, by the name of its member; 0.3 says its ``kind``."""


def task_of(exchange: Exchange, opening: bytes) -> tuple[str, str] | None:
    """Return how the task is cancelled that an exchange is about, and its id; None: it is about none that is known."""
    request = _loaded(exchange.body)
    found = _of_request(request)
    if found is not None:
        return found
    if exchange.method != "POST" or b'"jsonrpc"' not in opening:
        return None
    result = _first_result(opening)
    if result is None:
        return None
    for name in _MEMBERS:
        if isinstance(inner := result.get(name), dict):
            return _named("1.0", inner)
    return _named("0.3", result)


def cancelling(method: str, task_id: str) -> bytes:
    """Return the body of the call."""
    said = {"jsonrpc": "2.0", "id": f"cancel-{task_id}"[:128], "method": method, "params": {"id": task_id}}
    return orjson.dumps(said)


def _of_request(request: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what a request says itself: of a task that goes on, or that somebody watches again."""
    method, params = request.get("method"), request.get("params")
    if request.get("jsonrpc") != "2.0" or not isinstance(method, str) or not isinstance(params, dict):
        return None
    version = "0.3" if "/" in method else "1.0"
    if method in {"tasks/resubscribe", "SubscribeToTask"}:
        return _named(version, params)
    message = params.get("message")
    return _named(version, {"taskId": message.get("taskId")}) if isinstance(message, dict) else None


def _named(version: str, said: Mapping[str, Any]) -> tuple[str, str] | None:
    task_id = said.get("taskId") or (said.get("id") if said.get("kind", "task") == "task" else None)
    return (_CANCEL[version], task_id) if isinstance(task_id, str) and task_id else None


def _first_result(opening: bytes) -> Mapping[str, Any] | None:
    """Return the result in the first event, or what can be read of it where the event is longer than what is kept."""
    for line in opening.splitlines():
        if line.startswith((b"data:", b"{")):
            text = line.removeprefix(b"data:")
            result = _loaded(text).get("result")
            return result if isinstance(result, dict) else _mended(text)
    return None


def _mended(text: bytes) -> Mapping[str, Any] | None:
    """Return the result of an event whose end is missing: a task's id stands before what makes it long."""
    end = len(text)
    for _ in range(_MOST_TRIES):
        end = text.rfind(b",", 0, end)
        if end < 0:
            break
        for brackets in (b"}}", b"}}}", b"}}}}", b"}]}}}", b"}}]}}}"):
            result = _loaded(text[:end] + brackets).get("result")
            if isinstance(result, dict):
                return result
    return None


def _loaded(text: bytes | None) -> dict[str, Any]:
    if not text or len(text) > _MOST_BYTES:
        return {}
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
