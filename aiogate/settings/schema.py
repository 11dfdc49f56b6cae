"""The config as JSON Schema (2020-12), for editors and for the reference: made of the classes that read it.

cattrs writes no schemas and msgspec knows neither our scalars nor our docstrings, so this walks the classes itself.
What two keys must be together is not said here; ``aiogate check`` says it.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import attrs

from aiogate.agent import Seconds, Secret, UsageRule
from aiogate.claims import Rate
from aiogate.settings import model
from aiogate.settings.checks import AtLeast, is_positive
from aiogate.settings.meanings import meanings_of, summary_of
from aiogate.settings.model import Address, Size, Workers
from aiogate.settings.scalars import UNITS
from aiogate.settings.show import plain
from aiogate.settings.structure import key_of
from aiogate.settings.usage_rule import FIGURES, WORDS
from aiogate.settings.workers import MOST_WORKERS

__all__ = ["PluginSection", "schema_of"]

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PUT_IN: Final = r"\$\{"
"""Every text may have the environment or a file put in, and is then known when the config is loaded."""
_AGENT_ID: Final = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
_COMPARED: Final = {">": "exclusiveMinimum", ">=": "minimum", "<": "exclusiveMaximum", "<=": "maximum"}
_SECTIONS: Final = {
    "server": model.ServerSettings,
    "admin": model.AdminSettings,
    "state": model.StateSettings,
    "journal": model.JournalSettings,
    "pipeline": model.PipelineSettings,
}


@attrs.frozen
class PluginSection:
    """A plugin for whose settings the schema has a place: what it does, and its ``Config`` if it has one."""

    summary: str
    config: type | None


def schema_of(plugins: Mapping[str, PluginSection], *, closed: bool) -> Schema:
    """Return the schema of a whole config; ``closed``: there are no other plugins than these."""
    properties: Schema = {name: _table(kind) for name, kind in _SECTIONS.items()}
    names = properties["pipeline"]["properties"]["plugins"]
    names["items"] = _one_of(sorted(plugins)) if closed else {"anyOf": [{"enum": sorted(plugins)}, {"type": "string"}]}
    properties["include"] = {
        "description": "Files that belong to the config too, by patterns from its folder on; in the main file alone.",
        "type": "array",
        "items": {"type": "string", "minLength": 1, "examples": ["policies/*.toml"]},
        "default": [],
    }
    properties["agents"] = {
        "description": "The agents, by the name they have in `/agents/{id}`.",
        "type": "object",
        "propertyNames": {"pattern": _AGENT_ID},
        "additionalProperties": _table(model.AgentSettings)
        | {"oneOf": [{"required": ["url"]}, {"required": ["urls"]}]},
        "minProperties": 1,
    }
    properties["plugins"] = {
        "description": "What each plugin is told; one that is not in `pipeline.plugins` has no section.",
        "type": "object",
        "properties": {name: _section(plugin) for name, plugin in sorted(plugins.items())},
        "additionalProperties": False if closed else {"type": "object"},
    }
    return {
        "$schema": _DIALECT,
        "title": "aiogate",
        "description": "The config of an aiogate gateway.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _section(plugin: PluginSection) -> Schema:
    if plugin.config is None:
        return {"description": plugin.summary, "type": "object", "maxProperties": 0}
    table = _table(plugin.config)
    return table | {"description": " ".join(filter(None, (plugin.summary, table.get("description"))))}


def _table(cls: Any) -> Schema:  # noqa: ANN401 - any attrs class
    """Return the schema of a table out of the class that it becomes."""
    fields = [field for field in attrs.fields(attrs.resolve_types(cls)) if field.init]
    meanings = meanings_of(cls)
    table: Schema = {
        "type": "object",
        "properties": {key_of(field): _field(field, meanings.get(field.name)) for field in fields},
        "additionalProperties": False,
    }
    if required := [key_of(field) for field in fields if field.default is attrs.NOTHING]:
        table["required"] = required
    if summary := summary_of(cls):
        table["description"] = summary
    return table


def _field(field: Any, meaning: str | None) -> Schema:  # noqa: ANN401 - an attrs.Attribute of any type
    schema = _value(field.type)
    schema |= dict(_bounds(field.validator))
    if meaning is not None:
        schema["description"] = meaning
    default = field.default
    if isinstance(default, attrs.Factory) and not default.takes_self:  # type: ignore[arg-type] # attrs' stubs call it a function
        default = default.factory()
    if default is not None and default is not attrs.NOTHING and not isinstance(default, attrs.Factory):  # type: ignore[arg-type] # likewise
        schema["default"] = _written(default)
    return schema


def _value(kind: Any) -> Schema:  # noqa: ANN401 - a type
    """Return what a config may write where a value of this type belongs."""
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if isinstance(kind, type) and attrs.has(kind):
        return _table(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _one_of(arguments)
    inner = [_value(one) for one in arguments if one not in {NoneType, ...}]
    if origin in {Union, UnionType}:
        return inner[0] if len(inner) == 1 else {"anyOf": inner}
    if len(inner) == 1:
        return {"type": "array", "items": inner[0]}
    # a mapping, or a type that the settings do not structure: whatever a plugin makes of it
    return {"type": "object", "additionalProperties": inner[1]} if inner else {}


def _one_of(choices: Iterable[object]) -> Schema:
    return {"anyOf": [{"enum": list(choices)}, {"type": "string", "pattern": _PUT_IN}]}


def _bounds(validator: Any) -> Iterable[tuple[str, float]]:  # noqa: ANN401 - attrs names no types for its own
    """Yield what is known of a validator: of ours, and of those of attrs, of which the members alone are public."""
    if validator is is_positive:
        yield "exclusiveMinimum", 0
    elif isinstance(validator, AtLeast):
        yield "minimum", validator.least
    elif hasattr(validator, "compare_op") and validator.compare_op in _COMPARED:
        yield _COMPARED[validator.compare_op], validator.bound
    elif hasattr(validator, "min_length"):
        yield "minLength", validator.min_length
    for inner in (getattr(validator, "validator", None), *getattr(validator, "_validators", ())):
        if inner is not None:
            yield from _bounds(inner)


def _written(default: object) -> object:
    """Return a default as a config would write it; one that is secret by type is public by being in the code."""
    if isinstance(default, Secret):
        return default.reveal()
    if isinstance(default, Size):
        unit = next(unit for unit in reversed(UNITS) if default % UNITS[unit] == 0)
        return f"{default // UNITS[unit]}{unit}"
    if isinstance(default, Seconds):
        return f"{default:g}s"
    written = plain(default, Path())
    return float(written) if isinstance(written, Decimal) else written


def _text(title: str, pattern: str, *examples: str) -> Schema:
    schema: Schema = {"title": title, "type": "string", "pattern": f"{_PUT_IN}|{pattern}"}
    return schema | ({"examples": list(examples)} if examples else {})


_SCALARS: Final[dict[Any, Schema]] = {
    bool: {"type": "boolean"},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Decimal: {"type": "number"},
    Any: {},
    datetime: {"title": "date and time", "type": "string", "format": "date-time", "examples": ["2027-01-31T00:00:00Z"]},
    date: {"title": "date", "type": "string", "format": "date", "examples": ["2027-01-31"]},
    Path: {"title": "path", "type": "string", "minLength": 1},
    Secret: {"title": "secret", "type": "string"},
    Rate: _text("rate", "^ *[0-9](_?[0-9])* */ *[0-9]* *(s|second|m|minute|h|hour|d|day) *$", "100/minute", "5/10s"),
    Address: _text("address", r"^(\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+):[0-9]{1,5}$", "127.0.0.1:8080", "[::1]:8080"),
    Size: {
        "title": "size",
        "anyOf": [{"type": "integer", "minimum": 1}, _text("size", r"^ *[0-9]{1,15}\s*(B|KiB|MiB|GiB) *$")],
        "examples": ["64KiB", "100MiB", 1048576],
    },
    Seconds: {
        "title": "duration",
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            _text("duration", r"^ *[0-9]{1,9}(\.[0-9]{1,3})?\s*(ms|s|m|h) *$"),
        ],
        "examples": ["5s", "500ms", "1m"],
    },
    Workers: {
        "title": "number of processes",
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}, _one_of(["auto"])],
        "examples": [1, 4, "auto"],
    },
    UsageRule: {
        "anyOf": [
            _one_of(WORDS),
            {
                "type": "object",
                "properties": {name: _text("JSON pointer", "^/") for name in (*FIGURES, "model")},
                "additionalProperties": False,
            },
        ]
    },
}
