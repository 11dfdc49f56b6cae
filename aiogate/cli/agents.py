"""``aiogate agents``: the agents of a running gateway, and how they do."""

from pathlib import Path
from typing import Any

import click
import orjson

from aiogate.cli.figures import dollars, quantile, shown_quantile
from aiogate.cli.operators import admin_options, answer_of, url_of
from aiogate.cli.table import table

__all__ = ["agents"]


@click.command(
    help="""List the agents of a running gateway: state, open exchanges, calls, errors, p50 and p99, tokens, cost.

    \b
    Example:
        aiogate agents
        aiogate agents --json | jq '.[] | select(.breaker == "open") | .id'

    The figures are of all exchanges since the gateway was started. Errors are those of the agent.
    """
)
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts; money in nano-dollars.")
def agents(config: Path, admin: str | None, *, as_json: bool) -> None:
    """List the agents."""
    found = answer_of(url_of(config, admin), "/api/live")["agents"]
    if as_json:
        said = [
            {**one, "p50_seconds": quantile(one["seconds"], 0.5), "p99_seconds": quantile(one["seconds"], 0.99)}
            for one in found
        ]
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
        return
    heading = ["agent", "state", "open", "calls", "errors", "p50", "p99", "tokens", "cost"]
    click.echo(table(heading, [_row(one) for one in found], None, left=2), nl=False)


def _row(one: dict[str, Any]) -> list[str]:
    calls = one["calls"] - one["refused"]
    return [
        one["id"],
        one["halted"] or ("well" if one["breaker"] in {None, "closed"} else str(one["breaker"])),
        f"{one['open']:,}",
        f"{calls:,}",
        f"{100 * one['errors'] / calls:.1f} %" if one["errors"] and calls else "0",
        shown_quantile(one["seconds"], 0.5),
        shown_quantile(one["seconds"], 0.99),
        f"{one['input_tokens'] + one['output_tokens']:,}",
        dollars(one["cost_nanousd"]),
    ]
