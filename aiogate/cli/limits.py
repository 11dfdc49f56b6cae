"""``aiogate limits``: the limits of a running gateway that somebody takes from, and what is left of each."""

from pathlib import Path
from typing import Any

import click
import orjson

from aiogate.cli.operators import admin_options, answer_of, url_of
from aiogate.cli.table import table

__all__ = ["limits"]


@click.command(
    help="""List the limits of a running gateway that somebody takes from, with what is left, the tightest first.

    \b
    Example:
        aiogate limits
        aiogate limits --agent support --json | jq '.[] | select(.left == 0)'

    Every caller has counters of their own where a limit says so; those who have not called lately are not listed.
    """
)
@admin_options
@click.option("--agent", help="Only of this agent.")
@click.option("--principal", help="Only of this caller.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def limits(  # noqa: PLR0913 - one argument for each option
    config: Path, admin: str | None, agent: str | None, principal: str | None, count: int, *, as_json: bool
) -> None:
    """List the limits."""
    found = answer_of(url_of(config, admin), "/api/limits")
    wanted = {name: value for name, value in (("agent", agent), ("principal", principal)) if value is not None}
    found = [one for one in found if all(one["per"].get(name) == value for name, value in wanted.items())]
    found.sort(key=lambda one: one["left"] / one["limit"])
    if as_json:
        click.echo(orjson.dumps(found[:count], option=orjson.OPT_INDENT_2))
        return
    if not found:
        click.echo("nobody has taken from a limit lately")
        return
    heading = ["limit", "of", "limit is", "used", "left", "more in"]
    click.echo(table(heading, [_row(one) for one in found[:count]], None, left=2), nl=False)
    if len(found) > count:
        click.echo(f"and {len(found) - count} more: -n {len(found)}")


def _row(one: dict[str, Any]) -> list[str]:
    within = "at once" if one["seconds"] is None else f"in {one['seconds']:g} s"
    unit = "" if one["unit"] == "requests" else f" {one['unit']}"
    return [
        one["name"],
        ", ".join(str(value) for value in one["per"].values()) or "everybody",
        f"{one['limit']:,}{unit} {within}",
        f"{one['limit'] - one['left']:,}",
        f"{one['left']:,}",
        f"{one['reset_seconds']:.0f} s" if one["reset_seconds"] else "-",
    ]
