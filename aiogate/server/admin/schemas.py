"""JSON Schemas (2020-12) of what several answers of the admin listener have in common."""

from typing import Any, Final

from aiogate.server.admin.route import Schema

__all__ = [
    "BREAKER",
    "BUDGET",
    "COUNT",
    "ENDPOINT",
    "FLAG",
    "NUMBER",
    "TEXT",
    "TIME",
    "array",
    "maybe",
    "record",
]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}


def maybe(schema: Schema) -> Schema:
    """Return the schema of what may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema) -> Schema:
    """Return the schema of a list of these."""
    return {"type": "array", "items": items}


def record(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object that has these members and no others."""
    found: dict[str, Any] = {
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        "properties": properties,
    }
    return found


BREAKER: Final[Schema] = {
    "type": "object",
    "description": "What the plugin that is the breaker says of an agent; others may say more.",
    "required": ["agent", "phase", "failures"],
    "properties": {
        "agent": TEXT,
        "phase": {"enum": ["closed", "open", "half_open", "paused", "held_open", "held_closed"]},
        "failures": COUNT,
        "openings": COUNT,
        "retry_after_seconds": NUMBER,
        "actor": maybe(TEXT),
        "reason": maybe(TEXT),
    },
}
ENDPOINT: Final[Schema] = record(
    {"endpoint": TEXT, "state": TEXT, "pending": COUNT, "failures": COUNT, "aside_seconds": NUMBER}
)
BUDGET: Final[Schema] = record(
    {
        "budget": TEXT,
        "unit": TEXT,
        "per": {"type": "object", "additionalProperties": maybe(TEXT)},
        "limit": COUNT,
        "spent": COUNT,
        "held": COUNT,
        "share": NUMBER,
        "warned_at": maybe(NUMBER),
        "period_starts": TIME,
        "period_ends": TIME,
    }
)
"""One counter of a budget; money in nano-dollars."""
