"""``aiogate config show``: what is in force, defaults included, secrets as ``***``."""

import os
from pathlib import Path

import click
import orjson

from aiogate.pipeline.load import load
from aiogate.settings.show import in_force

__all__ = ["config"]


@click.group(help="Show what a config puts in force.\n\n\b\nExample:\n    aiogate config show conf/gateway.toml")
def config() -> None:
    """Group what is done with a config."""


@config.command(
    help="""Print the config that is in force, defaults included, with secrets as ***.

    \b
    Example:
        aiogate config show conf/gateway.toml --json
    """
)
@click.argument(
    "file", type=click.Path(path_type=Path), envvar="AIOGATE_CONFIG", default=Path("conf/gateway.toml"), required=False
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def show(file: Path, *, as_json: bool) -> None:
    """Print the config that is in force."""
    import tomli_w  # noqa: PLC0415 - only here

    settings, _ = load(file, os.environ)
    plain = in_force(settings)
    click.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2) if as_json else tomli_w.dumps(plain), nl=as_json)
