"""``aiogate config``: what a config puts in force, and the configs that gateways get from a store."""

import os
from pathlib import Path

import click
import orjson

from aiogate.cli import config_file
from aiogate.cli.pushed import COMMANDS
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.settings.load import load_settings
from aiogate.settings.show import in_force

__all__ = ["config"]


@click.group(
    help="""Show what a config puts in force, or have gateways go over to another one.

    \b
    Example:
        aiogate config show conf/gateway.toml
        aiogate config push conf/gateway.toml --message "support has a second endpoint"
    """
)
def config() -> None:
    """Group what is done with a config."""


for _command in COMMANDS:
    config.add_command(_command)


@config.command(
    help="""Print the config that is in force, defaults included, with secrets as ***.

    \b
    Example:
        aiogate config show conf/gateway.toml --json
    """
)
@config_file
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def show(file: Path, *, as_json: bool) -> None:
    """Print the config that is in force."""
    import tomli_w  # noqa: PLC0415 - only here

    plain = in_force(load_settings(file, InstalledPlugins(), os.environ))
    if as_json:
        click.echo(orjson.dumps(plain, default=float, option=orjson.OPT_INDENT_2))  # only a Decimal asks for default
    else:
        click.echo(tomli_w.dumps(plain), nl=False)
