"""JSON Schemas (2020-12) of what several answers of the admin listener have in common."""

from typing import Any, Final

from aiogate.server.admin.route import Schema

__all__ = ["COUNT", "FLAG", "NUMBER", "TEXT", "TIME", "array", "maybe", "record"]

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
