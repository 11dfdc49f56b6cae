"""Makes, changes and revokes the keys of the store, for operators."""

from typing import Final, cast

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.asked import BY_WHOM, asked_of, write_down
from aiogate.server.admin.route import Route, Schema
from aiogate.server.admin.running import gateway_of
from aiogate.server.key_desk import Act, ask_keys, book_of
from aiogate.state.keybook import Author

__all__ = ["ROUTES"]

_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_TIME: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_ASKED: Final = {
    "principal": _TEXT,
    "roles": _TEXTS,
    "department": {"type": ["string", "null"]},
    "cost_center": {"type": ["string", "null"]},
    "labels": {"type": "object", "additionalProperties": _TEXT},
    "networks": _TEXTS,
    "expires": _TIME,
}
_KEY: Final[Schema] = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "status": {"enum": ["active", "rotating", "expired", "revoked", "unreadable"]},
        **_ASKED,
        **dict.fromkeys(("created", "rotated", "previous_until", "revoked"), _TIME),
        "created_by": _TEXT,
        "revoked_by": _TEXT,
        "revoked_because": _TEXT,
        "pepper": _TEXT,
    },
}
_WHOLE_KEY: Final[Schema] = {
    "type": "object",
    "properties": {"key": {"type": "string", "description": "shown once"}, **_KEY["properties"]},
}
_MADE: Final = ("bad_request", "not_found", "key_exists", "other_pepper", "journal_unavailable", "state_unavailable")


async def _keys(request: web.Request) -> web.Response:
    """Do to the keys what the path and the method say."""
    gateway, asked = gateway_of(request), await asked_of(request)
    plugins, house = gateway.generation.pipeline.plugins.values(), gateway.house
    key_id = request.match_info.get("key", "")
    verb = request.match_info.get("verb") or ("create" if request.method == "POST" else "show" if key_id else "list")

    def record(action: str, about: str, _author: Author) -> None:
        write_down(gateway, action, asked, key_id=about)

    book = book_of(plugins, house.board, record, house.clock)
    return json(await ask_keys(book, cast("Act", verb), key_id, asked.facts, Author(asked.actor, asked.reason)))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/keys",
        handler=_keys,
        summary="All keys of the store, without their secrets.",
        answer={"type": "object", "properties": {"keys": {"type": "array", "items": _KEY}}},
        problems=("not_found",),
    ),
    Route(
        method="POST",
        path="/api/keys",
        handler=_keys,
        summary="Make a key. It is in the answer, and nowhere else ever again.",
        answer=_WHOLE_KEY,
        query=BY_WHOM,
        body={"type": "object", "properties": {"id": _TEXT, **_ASKED}, "required": ["principal"]},
        problems=_MADE,
    ),
    Route(
        method="GET",
        path="/api/keys/{key}",
        handler=_keys,
        summary="One key of the store, without its secret.",
        answer=_KEY,
        problems=("not_found",),
    ),
    Route(
        method="POST",
        path="/api/keys/{key}/{verb:rotate}",
        handler=_keys,
        summary="Give a key another secret; the one that it has is good beside it for `overlap_seconds` (a day).",
        answer=_WHOLE_KEY,
        query=BY_WHOM,
        body={"type": "object", "properties": {"overlap_seconds": {"type": "number"}, "expires": _TIME}},
        problems=(*_MADE, "key_revoked"),
    ),
    Route(
        method="POST",
        path="/api/keys/{key}/{verb:revoke}",
        handler=_keys,
        summary="Have a key refused everywhere within a second, for good; `kill` also ends what is under way with it.",
        answer=_KEY,
        query=BY_WHOM,
        body={"type": "object", "properties": {"kill": {"type": "boolean"}}},
        problems=("bad_request", "not_found", "journal_unavailable", "state_unavailable"),
    ),
)
