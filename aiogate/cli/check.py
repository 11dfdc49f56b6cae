"""``aiogate check``: every problem of a config at once, for people and for their CI."""

import os
from pathlib import Path

import attrs
import click
import orjson

from aiogate.cli import EX_CONFIG, config_file
from aiogate.errors import Problem, SettingsError
from aiogate.pipeline.load import load

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
        settings, _ = load(file, os.environ)
    except SettingsError as error:
        if not as_json:
            raise
        _print_json(file, error.problems)
        ctx.exit(EX_CONFIG)
    if as_json:
        _print_json(file, ())
        return
    agents = _counted(len(settings.agents), "agent")
    plugins = _counted(len(settings.pipeline.plugins), "plugin")
    click.echo(f"{file}: in order ({agents}, {plugins})")


def _print_json(file: Path, problems: tuple[Problem, ...]) -> None:
    plain = {"file": str(file), "problems": [attrs.asdict(problem) for problem in problems]}
    click.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
