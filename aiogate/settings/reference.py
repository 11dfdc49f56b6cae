"""The schema of a config as a reference for people, in Markdown: a table for each section, a line for each key.

Works on the schema alone. One item a line and everything sorted, so that two changes merge.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["reference_of"]

Schema = Mapping[str, Any]

_HEAD: Final = """\
# Configuration reference

Every section and every key, from the code that reads them; `aiogate schema --reference` prints it with the plugins that
you have installed. A key without a default may be left out unless it is required. Texts may hold `${VAR}`,
`${VAR:-default}` and `${file:PATH}`; relative paths are relative to the file. `aiogate check FILE` finds all mistakes
at once; for completion in an editor, a config's first line names the schema: `#:schema ./gateway.schema.json`.
"""
_KINDS: Final = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "object": "table",
    "string": "string",
}
_BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}


def reference_of(schema: Schema) -> str:
    """Return the reference of a whole config."""
    lines = [_HEAD]
    lines += _rows("Top level", {name: one for name, one in schema["properties"].items() if not _is_table(one)}, ())
    for name, section in schema["properties"].items():
        if name == "plugins":
            for plugin, table in section["properties"].items():
                lines += _section((name, plugin), table)
        elif _is_table(section):
            lines += _section((name,), section)
    return "\n".join(lines)


def _section(path: tuple[str, ...], schema: Schema) -> Iterator[str]:
    """Yield a table's own keys and then the tables in it, however they are written."""
    if "properties" in schema or schema.get("maxProperties") == 0:
        yield from _table(f"[{'.'.join(path)}]", path, schema)
    elif "items" in schema:
        yield from _table(f"[[{'.'.join(path)}]]", path, schema["items"])
    else:
        yield from _section((*path, "<name>"), schema["additionalProperties"])


def _table(heading: str, path: tuple[str, ...], schema: Schema) -> Iterator[str]:
    yield f"## `{heading}`\n"
    if description := schema.get("description"):
        yield f"{description}\n"
    properties: Mapping[str, Schema] = schema.get("properties", {})
    yield from _rows(
        "", {name: one for name, one in properties.items() if not _is_table(one)}, schema.get("required", ())
    )
    for name, inner in sorted(properties.items()):
        if _is_table(inner):
            yield from _section((*path, name), inner)


def _rows(heading: str, properties: Mapping[str, Schema], required: tuple[str, ...]) -> Iterator[str]:
    if heading:
        yield f"## {heading}\n"
    if not properties:
        return
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, schema in sorted(properties.items()):
        default = (
            f"`{json.dumps(schema['default'])}`" if "default" in schema else "required" if name in required else ""
        )
        cells = (f"`{name}`", _kind(schema), default, schema.get("description", ""))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _is_table(schema: Schema) -> bool:
    """Tell whether a value is a section of its own: a table with keys of ours, several, or one for each name."""
    inner = schema.get("items", schema.get("additionalProperties"))
    return "properties" in schema or (isinstance(inner, Mapping) and "properties" in inner)


def _kind(schema: Schema) -> str:
    """Return what a config may write, in words."""
    if title := schema.get("title"):
        bare = "format" in schema  # TOML writes dates and times without quotes
        examples = ", ".join(f"`{one if bare else json.dumps(one)}`" for one in schema.get("examples", ()))
        return f"{title}, such as {examples}" if examples else title
    if choices := schema.get("enum"):
        return ", ".join(f"`{json.dumps(choice)}`" for choice in choices)
    if several := schema.get("anyOf"):
        return " or ".join(_kind(one) for one in several if not _is_reference(one))
    bounds = [said.format(f"{schema[bound]:g}") for bound, said in _BOUNDS.items() if bound in schema]
    if schema.get("type") == "array":
        inner = f"array of: {_kind(schema['items'])}"
    elif isinstance(schema.get("additionalProperties"), Mapping):
        inner = f"table of: {_kind(schema['additionalProperties'])}"
    else:
        inner = _KINDS.get(schema.get("type", ""), "any value")
    return ", ".join((inner, *bounds))


def _is_reference(schema: Schema) -> bool:
    """Tell the way to have a word out of the environment, which goes for every text and is not said again."""
    return schema.get("pattern") == r"\$\{"
