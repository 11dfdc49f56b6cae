"""``aiogate breaker``: takes an agent of a gateway that runs out of service, or puts it back."""

from pathlib import Path
from urllib.parse import quote, urlencode

import click
import orjson

from aiogate.cli.actor import current_actor
from aiogate.cli.operators import admin_options, answer_of, url_of

__all__ = ["breaker"]

_DONE = {
    "open": "out of service until it is closed or reset",
    "close": "in service, however it fails, until it is opened or reset",
    "reset": "judged anew by how it answers",
}


@click.command(
    help="""Open or close the breaker of an agent by hand, or leave it to itself again.

    \b
    Example:
        aiogate breaker open support --reason "deploy of 14:00"

    open: nothing goes to the agent. close: everything does, however it fails. reset: what is known is forgotten, and
    the breaker judges by itself. Who did it and why is in the journal.
    """
)
@click.argument("verb", type=click.Choice(tuple(_DONE)))
@click.argument("agent")
@click.option("--reason", default="", help="Why, for the journal and for whoever looks at the status.")
@click.option("--actor", help="Who; otherwise the user that you are logged in as.")
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def breaker(  # noqa: PLR0913, PLR0917 - one argument for each option
    verb: str, agent: str, reason: str, actor: str | None, config: Path, admin: str | None, *, as_json: bool
) -> None:
    """Tell a breaker what to do."""
    query = urlencode({"actor": actor or current_actor(), "reason": reason})
    path = f"/api/breaker/{quote(agent, safe='')}/{verb}?{query}"
    said = answer_of(url_of(config, admin), path, "POST")
    if as_json:
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"agent {agent} is {_DONE[verb]}")
