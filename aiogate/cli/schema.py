"""``aiogate schema``: what a config may say, for editors (JSON Schema) and for people (Markdown)."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import orjson

from aiogate.hookspecs import PROJECT
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.settings.reference import reference_of
from aiogate.settings.schema import PluginSection, schema_of

__all__ = ["SCHEMA_FILE", "reference_text", "schema", "schema_text"]

SCHEMA_FILE: Final = "gateway.schema.json"
_REFERENCE_FILE: Final = "REFERENCE.md"


@click.command(
    help="""Print the JSON Schema of the config, the sections of all installed plugins included.

    \b
    Examples:
        aiogate schema > gateway.schema.json
        aiogate schema --reference | less
        aiogate schema --write conf

    Editors (Even Better TOML, taplo) complete and check a config whose first line is
    #:schema ./gateway.schema.json
    """
)
@click.option("--reference", is_flag=True, help="Print the reference for people: Markdown, a line for each key.")
@click.option("--built-in", is_flag=True, help="Leave out plugins that others bring.")
@click.option(
    "--write",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help=f"Write both there, as {SCHEMA_FILE} and {_REFERENCE_FILE}.",
)
def schema(*, reference: bool, built_in: bool, write: Path | None) -> None:
    """Print or write the schema."""
    if write is None:
        click.echo((reference_text if reference else schema_text)(built_in=built_in), nl=False)
        return
    for name, text in ((SCHEMA_FILE, schema_text), (_REFERENCE_FILE, reference_text)):
        (write / name).write_text(text(built_in=built_in), encoding="utf-8")
        click.echo(f"{write / name} is written")


def schema_text(*, built_in: bool) -> str:
    """Return the JSON Schema; with ``built_in``, other plugins may have any settings."""
    found = schema_of(dict(_sections(built_in=built_in)), closed=not built_in)
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(found, option=options).decode()


def reference_text(*, built_in: bool) -> str:
    """Return the reference."""
    return reference_of(schema_of(dict(_sections(built_in=built_in)), closed=not built_in))


def _sections(*, built_in: bool) -> Iterator[tuple[str, PluginSection]]:
    """Yield the installed plugins; one that does not load has no section, and is named."""
    installed = InstalledPlugins()
    for report in installed.reports():
        if built_in and report.distribution != PROJECT:
            continue
        if report.error is not None:
            click.echo(f"aiogate: warning: without the plugin {report.name!r}: {report.error}", err=True)
            continue
        cls = installed.load(report.name)
        summary = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
        yield report.name, PluginSection(summary.replace("``", "`"), getattr(cls, "Config", None))
