"""``aiogate check``: every problem of a config at once, for people and for their CI."""

import os
from pathlib import Path

import attrs
import click
import orjson

from aiogate.errors import SettingsError
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
@click.argument(
    "file", type=click.Path(path_type=Path), envvar="AIOGATE_CONFIG", default=Path("conf/gateway.toml"), required=False
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def check(file: Path, *, as_json: bool) -> None:
    """Check a config."""
    try:
        settings, _ = load(file, os.environ)
    except SettingsError as error:
        if not as_json:
            raise
        problems = [attrs.asdict(problem) for problem in error.problems]
        click.echo(orjson.dumps({"file": str(file), "problems": problems}, option=orjson.OPT_INDENT_2))
        raise SystemExit(78) from None
    if as_json:
        click.echo(orjson.dumps({"file": str(file), "problems": []}, option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"{file}: in order ({len(settings.agents)} agents, {len(settings.pipeline.plugins)} plugins)")
