"""``aiogate budgets``: how the budgets of a running gateway stand, and how long they will last."""

from pathlib import Path

import click
import orjson

from aiogate.cli.figures import budget_line, left_of
from aiogate.cli.operators import admin_options, answer_of, url_of
from aiogate.cli.table import table
from aiogate.exchange import Clock

__all__ = ["budgets"]


@click.command(
    help="""List the budgets of a running gateway, the tightest first: limit, spent, held, left, and the burn.

    \b
    Example:
        aiogate budgets
        aiogate budgets --json | jq '.[] | select(.share > 0.9)'

    What is held may come back. The burn is the share that will be spent when the period ends, if it goes on as until
    now: above 100 % it will not last.
    """
)
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts; money in nano-dollars.")
def budgets(config: Path, admin: str | None, *, as_json: bool) -> None:
    """List the budgets."""
    found = sorted(answer_of(url_of(config, admin), "/api/budgets"), key=lambda one: -float(one["share"]))
    if as_json:
        said = [{**one, "left": left_of(one)} for one in found]
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
        return
    if not found:
        click.echo("nobody was charged to a budget in the present periods")
        return
    heading = ["budget", "of", "limit", "spent", "held", "left", "used", "burn", "until"]
    wall = Clock().wall()
    rows = [[*budget_line(one, wall), one["period_ends"][:16].replace("T", " ")] for one in found]
    click.echo(table(heading, rows, None, left=2), nl=False)
