"""``aiogate check``: every problem of a config at once, for people and for their CI."""

import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import click
import orjson

from aiogate.cli import EX_CONFIG, config_file
from aiogate.errors import Problem, SettingsError
from aiogate.pipeline.load import load
from aiogate.pipeline.run import Pipeline
from aiogate.settings.document import Document
from aiogate.settings.faults import dotted
from aiogate.settings.model import Settings

__all__ = ["check"]


@click.command(
    help="""Find every problem of a config without serving it.

    \b
    Example:
        aiogate check conf/gateway.toml

    Exits with 0 when the config is in order and with 78 when it is not.
    """
)
@config_file
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def check(ctx: click.Context, file: Path, *, as_json: bool) -> None:
    """Check a config, the plugins that it builds included."""
    try:
        settings, pipeline = load(file, os.environ)
    except SettingsError as error:
        if not as_json:
            raise
        _print_json(file, error.problems)
        ctx.exit(EX_CONFIG)
    warnings = tuple(_warnings(file, settings, pipeline))
    if as_json:
        _print_json(file, (), warnings)
        return
    for warning in warnings:
        click.echo(f"aiogate: warning: {warning}", err=True)
    agents = _counted(len(settings.agents), "agent")
    plugins = _counted(len(settings.pipeline.plugins), "plugin")
    click.echo(f"{file}: in order ({agents}, {plugins})")


def _warnings(file: Path, settings: Settings, pipeline: Pipeline) -> Iterator[Problem]:
    """Yield what is in order and yet cannot be meant: a plugin that knows of any has a method ``warnings(agents)``."""
    document = Document.read(file)
    for name, plugin in pipeline.plugins.items():
        warn = getattr(plugin, "warnings", None)
        for place, message in warn(settings.agents) if warn is not None else ():
            path = f"{dotted(('plugins', name))}.{place}"
            yield document.placed(Problem(path, message))


def _print_json(file: Path, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
    plain = {
        "file": str(file),
        "problems": [attrs.asdict(problem) for problem in problems],
        "warnings": [attrs.asdict(warning) for warning in warnings],
    }
    click.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
