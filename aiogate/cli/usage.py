"""``aiogate usage``: what was used and spent, by whom and on what, out of the journal's totals."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import click
import orjson

from aiogate.cli.fleet import fleet_totals
from aiogate.cli.focus import focus_columns, focus_rows
from aiogate.cli.lines import report_torn
from aiogate.cli.money import dollars, money
from aiogate.cli.progress import progress
from aiogate.cli.since import moment
from aiogate.cli.table import csv_text, table
from aiogate.cli.where import journal_of, journal_options
from aiogate.errors import AiogateError, JournalError
from aiogate.journal.sums import DIMENSIONS, Sums, sums
from aiogate.journal.totals import Totals

__all__ = ["usage"]

_ALWAYS: Final = ("calls", "refused", "input_tokens", "output_tokens")
_SHOWN: Final = ("calls", "refused", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


@click.group(
    invoke_without_command=True,
    help="""Report what was used and spent, by whom and on what, out of the journal's totals.

    \b
    Example:
        aiogate usage --by cost_center,agent --since 7d
        aiogate usage --by day --principal alice --csv
        aiogate usage --fleet --by agent --since 24h

    --by takes principal, department, agent, cost_center, key_id, model, source (where the figures come from), hour, day
    and month, in UTC. What nobody has a price for is unpriced, and is not in the money. Where cost centres share,
    tokens and money are split, and a call counts in each of them.
    """,
)
@journal_options
@click.option("--by", default="agent", show_default=True, help="What the report is by, with commas.")
@click.option("--since", default="7d", show_default=True, help="From when: 7d, 12h, 30m, or 2026-01-31T00:00:00Z.")
@click.option("--until", help="Up to when.")
@click.option("--principal", help="Only of this caller.")
@click.option("--department", help="Only of this department.")
@click.option("--agent", help="Only of this agent.")
@click.option("--cost-center", "cost_center", help="Only of this cost centre.")
@click.option("--model", help="Only of this model.")
@click.option("--json", "as_json", is_flag=True, help="For scripts; money in nano-dollars.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
@click.option("--rebuild", is_flag=True, help="Make the totals anew from the journal first.")
@click.option("--fleet", is_flag=True, help="Of all gateways that share the Redis of [state].")
@click.pass_context
def usage(  # noqa: PLR0913 - one argument for each option
    ctx: click.Context,
    /,
    config: Path,
    directory: Path | None,
    *,
    by: str,
    since: str,
    until: str | None,
    as_json: bool,
    as_csv: bool,
    rebuild: bool,
    fleet: bool,
    **only: str | None,
) -> None:
    """Report, unless a subcommand does."""
    if ctx.invoked_subcommand is not None:
        return
    if as_json and as_csv:
        msg = "give --json or --csv, not both"
        raise click.UsageError(msg)
    names = _names(by)
    begin, end = moment(since).timestamp(), None if until is None else moment(until, "--until").timestamp()
    wanted = {name: value for name, value in only.items() if value is not None}
    with _totals(config, directory, begin, end, rebuild=rebuild, fleet=fleet) as totals:
        found = sums(totals, names, begin, end, wanted)
        whole = sums(totals, (), begin, end, wanted).get((), Sums())
    rows = sorted(found.items(), key=lambda row: _order(names, row))
    if as_json:
        said = [
            {**{name: value or None for name, value in zip(names, key, strict=True)}, **attrs.asdict(part)}
            for key, part in rows
        ]
        click.echo(orjson.dumps({"rows": said, "total": attrs.asdict(whole)}, option=orjson.OPT_INDENT_2))
    elif as_csv:
        click.echo(_csv(names, rows), nl=False)
    else:
        click.echo(_report(names, rows, whole), nl=False)


@contextmanager
def _totals(  # noqa: PLR0913 - each is said by its name
    config: Path, directory: Path | None, begin: float, end: float | None, *, rebuild: bool, fleet: bool
) -> Iterator[Totals]:
    """Open what is reported from, brought up to date."""
    if fleet:
        if rebuild or directory is not None:
            msg = "--fleet goes by the Redis of --config: it cannot be combined with --dir or --rebuild"
            raise AiogateError(msg)
        with fleet_totals(config, begin, end) as totals:
            yield totals
        return
    directory = journal_of(config, directory)
    with Totals.made_anew(directory) if rebuild else Totals.of(directory) as totals:
        _bring_up_to_date(totals)
        yield totals


@usage.command(
    help="""Write what was used as another program wants it: FOCUS is the FinOps Open Cost and Usage Specification, 1.0.

    \b
    Example:
        aiogate usage export --format focus --since 30d > focus.csv

    One row a day for each agent, model, caller and cost centre; what is our own is in columns that begin with x_.
    """
)
@journal_options
@click.option("--format", "_form", type=click.Choice(["focus"]), default="focus", show_default=True, help="As what.")
@click.option("--since", default="30d", show_default=True, help="From when: whole days of UTC.")
@click.option("--until", help="Up to when.")
@click.option("--fleet", is_flag=True, help="Of all gateways that share the Redis of [state].")
def export(config: Path, directory: Path | None, _form: str, since: str, until: str | None, *, fleet: bool) -> None:
    """Export the days."""
    begin = moment(since).timestamp() // 86400 * 86400
    end = None if until is None else moment(until, "--until").timestamp()
    with _totals(config, directory, begin, end, rebuild=False, fleet=fleet) as totals:
        click.echo(csv_text(focus_columns(), focus_rows(totals, begin, end)), nl=False)


def _names(by: str) -> tuple[str, ...]:
    names = tuple(name.strip().replace("-", "_") for name in by.split(",") if name.strip())
    for name in names:
        if name not in DIMENSIONS:
            msg = f"--by: expected some of {', '.join(DIMENSIONS)}, got {name!r}"
            raise click.UsageError(msg)
    if len(set(names)) < len(names):
        msg = f"--by: {by!r} names something twice"
        raise click.UsageError(msg)
    return names


def _bring_up_to_date(totals: Totals) -> None:
    """Fold what is new; where nothing can be written, answer from what is there, and say so."""
    try:
        totals.fold(report_torn, progress("totals"))
    except JournalError as error:
        click.echo(f"aiogate: {error}", err=True)


def _order(names: tuple[str, ...], row: tuple[tuple[str, ...], Sums]) -> tuple[object, ...]:
    """Put times in their order, and everything else with the dearest first."""
    key, part = row
    times = tuple(value for name, value in zip(names, key, strict=True) if name in {"hour", "day", "month"})
    return (*times, -part.cost_nanousd, -part.calls, key)


def _report(names: tuple[str, ...], rows: list[tuple[tuple[str, ...], Sums]], whole: Sums) -> str:
    if not rows:
        return "nothing was used in that time\n"
    counts = [count for count in _SHOWN if count in _ALWAYS or getattr(whole, count)]
    heading = [*names, *(count.removesuffix("_tokens").replace("_", " ") for count in counts), "cost"]
    body = [[*(value or "-" for value in key), *_figures(counts, part)] for key, part in rows]
    total = ["total", *("" for _ in names[1:]), *_figures(counts, whole)] if names else _figures(counts, whole)
    if whole.unpriced:
        heading.append("unpriced")
        for line, part in zip([*body, total], [*(part for _, part in rows), whole], strict=True):
            line.append(f"{part.unpriced:,} calls" if part.unpriced else "")
    return table(heading, body, total if names else None, left=len(names))


def _figures(counts: list[str], part: Sums) -> list[str]:
    return [*(f"{getattr(part, count):,}" for count in counts), money(part)]


def _csv(names: tuple[str, ...], rows: list[tuple[tuple[str, ...], Sums]]) -> str:
    counts = [field.name for field in attrs.fields(Sums) if field.name != "cost_nanousd"]
    return csv_text(
        (*names, *counts, "cost_usd"),
        (
            {
                **dict(zip(names, key, strict=True)),
                **{count: getattr(part, count) for count in counts},
                "cost_usd": dollars(part.cost_nanousd),
            }
            for key, part in rows
        ),
    )
