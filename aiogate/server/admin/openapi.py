"""The admin API as an OpenAPI 3.1 document, made of the same table as its router."""

from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from aiogate import __version__
from aiogate.errors import CATALOGUE
from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import ALL_ROUTES

__all__ = ["ROUTES", "document"]

_ALWAYS: Final = ("unauthenticated", "role_required", "foreign_origin")
"""What any request may be refused with but for the probes."""
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457, with the `error` member that SDKs of OpenAI and Anthropic read.",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "error"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "code": {"type": "string"}},
        },
    },
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aiogate admin API",
            "version": __version__,
            "description": "For operators: who does what right now, what it costs, and how to make it stop.",
        },
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of [admin], or a key with the role operator; none on loopback.",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "tags": [_tag(route)],
        "responses": {"200": _answer(route), **_problems(route)},
    }
    variables = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", **_enum(values)}}
        for name, values in route.variables.items()
    ]
    query = [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in route.query.items()]
    if variables or query:
        found["parameters"] = [*variables, *query]
    if route.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": route.body}}}
    return found


def _answer(route: Route) -> dict[str, Any]:
    schema = dict(route.answer) or ({} if route.media_type == "application/json" else {"type": "string"})
    return {"description": "Done.", "content": {route.media_type: {"schema": schema}}}


def _problems(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*(_ALWAYS if route.path.startswith("/api/") else ()), *route.problems)):
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {CATALOGUE[code].title}" for code in codes),
            "content": content,
        }
        for status, codes in sorted(by_status.items())
    }


def _name(route: Route) -> str:
    words = [word for part in route.template.split("/") if (word := part.strip("{}")) not in {"", "api"}]
    return "_".join([route.method.lower(), *words]).replace("-", "_").replace(".", "_")


def _tag(route: Route) -> str:
    parts = route.template.strip("/").split("/")
    return parts[1] if parts[0] == "api" and len(parts) > 1 else "health"


def _enum(values: tuple[str, ...]) -> dict[str, Any]:
    return {"enum": list(values)} if values else {}


async def _openapi(request: web.Request) -> web.Response:
    return json(document(request.app[ALL_ROUTES]))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/openapi.json",
        handler=_openapi,
        summary="This document.",
        answer={"type": "object", "required": ["openapi", "info", "paths"]},
    ),
)
