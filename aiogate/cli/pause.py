"""``aiogate pause`` and ``aiogate resume``: keep new calls from an agent for a while; what is under way goes on."""

from pathlib import Path
from urllib.parse import quote, urlencode

import click
import orjson

from aiogate.cli.actor import current_actor
from aiogate.cli.kill import lasting
from aiogate.cli.operators import admin_options, answer_of, url_of

__all__ = ["pause", "resume"]


@click.command(
    help="""Let nothing new in for an agent; what is under way goes on.

    \b
    Example:
        aiogate pause support --reason "deploy of 14:00" --for 10m

    New calls get a 503 with Retry-After, or another agent where one stands in. It holds on all gateways that share a
    state, over reloads and restarts, until its time is over or `aiogate resume`. Exits with 0 when it is in force.
    """
)
@click.argument("agent")
@click.option("--for", "lasts", metavar="TIME", help="For how long: 90s, 10m, 2h. Without it: until it is resumed.")
@click.option("--reason", required=True, help="Why: callers are told, and it is in the journal.")
@click.option("--actor", help="Who; otherwise the user that you are logged in as.")
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def pause(  # noqa: PLR0913, PLR0917 - one argument for each option
    agent: str, lasts: str | None, reason: str, actor: str | None, config: Path, admin: str | None, *, as_json: bool
) -> None:
    """Pause an agent."""
    asked = {"reason": reason, "actor": actor or current_actor(), **({"for": lasts} if lasts else {})}
    said = answer_of(url_of(config, admin), f"/api/agents/{quote(agent, safe='')}/pause?{urlencode(asked)}", "POST")
    if as_json:
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"{said['id']}: agent {agent} is paused {lasting(said)}")


@click.command(
    help="""Let calls to an agent in again that was paused.

    \b
    Example:
        aiogate resume support
    """
)
@click.argument("agent")
@click.option("--reason", default="", help="Why, for the journal.")
@click.option("--actor", help="Who; otherwise the user that you are logged in as.")
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def resume(  # noqa: PLR0913 - one argument for each option
    agent: str, reason: str, actor: str | None, config: Path, admin: str | None, *, as_json: bool
) -> None:
    """Take a pause back."""
    query = urlencode({"actor": actor or current_actor(), "reason": reason})
    said = answer_of(url_of(config, admin), f"/api/agents/{quote(agent, safe='')}/resume?{query}", "POST")
    if as_json:
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"agent {agent} is called again")
