"""``aiogate kills``: lists the kills and pauses that are in force, and lifts them."""

from pathlib import Path
from urllib.parse import quote, urlencode

import click
import orjson

from aiogate.cli.actor import current_actor
from aiogate.cli.kill import lasting, target_of
from aiogate.cli.operators import admin_options, answer_of, url_of
from aiogate.cli.table import table

__all__ = ["kills"]


@click.group(
    invoke_without_command=True,
    help="""List the kills and pauses that are in force, the oldest first.

    \b
    Example:
        aiogate kills
        aiogate kills lift k-1f0a9b3c --reason "fixed in 1.4.2"
    """,
)
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def kills(ctx: click.Context, /, config: Path, admin: str | None, *, as_json: bool) -> None:
    """List them, unless a subcommand does something else."""
    if ctx.invoked_subcommand is not None:
        ctx.obj = config, admin
        return
    found = answer_of(url_of(config, admin), "/api/kills")
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    elif not found:
        click.echo("nothing is killed or paused")
    else:
        rows = [
            [one["id"], one["kind"], target_of(one), lasting(one), one["actor"], one["since"][:16], one["reason"]]
            for one in found
        ]
        click.echo(table(["id", "what", "of", "holds", "by", "since (UTC)", "reason"], rows, None, left=7), nl=False)


@kills.command(
    help="""Lift kills or pauses, on all gateways that share a state.

    \b
    Example:
        aiogate kills lift k-1f0a9b3c --reason "fixed in 1.4.2"

    Exits with 0 when all of them are lifted, with 1 at the first that is not.
    """
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--reason", default="", help="Why, for the journal.")
@click.option("--actor", help="Who; otherwise the user that you are logged in as.")
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def lift(  # noqa: PLR0913, PLR0917 - one argument for each option
    before: tuple[Path, str | None],
    /,
    ids: tuple[str, ...],
    reason: str,
    actor: str | None,
    config: Path,
    admin: str | None,
    *,
    as_json: bool,
) -> None:
    """Lift what the arguments name; ``before`` is what was said before the subcommand."""
    source = click.get_current_context().get_parameter_source("config")
    if admin is None and source is click.core.ParameterSource.DEFAULT:
        config, admin = before
    url, query = url_of(config, admin), urlencode({"actor": actor or current_actor(), "reason": reason})
    for halt_id in ids:
        said = answer_of(url, f"/api/kills/{quote(halt_id, safe='')}?{query}", "DELETE")
        if as_json:
            click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
        else:
            click.echo(f"{halt_id}: {target_of(said)} is free again")
