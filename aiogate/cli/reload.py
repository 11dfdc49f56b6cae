"""``aiogate reload``: has a gateway that runs read its config again, and tells what has come of it."""

from pathlib import Path

import click
import orjson

from aiogate.cli import EX_CONFIG
from aiogate.cli.operators import admin_options, ask, url_of
from aiogate.errors import AiogateError, Problem

__all__ = ["reload"]

_OK = 200
_INVALID = 422


@click.command(
    help="""Have a running gateway read its config again.

    \b
    Example:
        aiogate reload --config conf/gateway.toml

    The config names the admin listener that is asked; the gateway reads the file that it was started with. Exits with
    0 when the new config is in force, in all workers, and with 78 when it has problems: then nothing has changed in
    any of them.
    """
)
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def reload(ctx: click.Context, config: Path, admin: str | None, *, as_json: bool) -> None:
    """Reload a gateway."""
    status, said = ask(url_of(config, admin), "POST", "/api/reload")
    if status not in {_OK, _INVALID}:
        raise AiogateError(str(said.get("detail") or f"the gateway answers {status}"))
    if as_json:
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    elif status == _OK:
        workers = said.get("workers", 1)
        click.echo(f"generation {said['generation']} is in force{f' in {workers} workers' if workers > 1 else ''}")
        for kept in said["needs_restart"]:
            click.echo(f"aiogate: warning: {Problem(**kept)}", err=True)
    else:
        click.echo(f"aiogate: {said['detail']}", err=True)
        for problem in said["problems"]:
            click.echo(f"  {Problem(**problem)}", err=True)
    if status == _INVALID:
        ctx.exit(EX_CONFIG)
