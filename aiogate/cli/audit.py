"""``aiogate audit``: the records that an auditor asks for, and the proof that none was touched."""

from pathlib import Path

import attrs
import click
import orjson

from aiogate.cli.exits import EX_TAMPERED
from aiogate.cli.lines import report_torn, shape
from aiogate.cli.progress import progress
from aiogate.cli.since import moment
from aiogate.cli.where import config_option, journal_of, journal_options
from aiogate.exchange import Outcome
from aiogate.journal.audit import audit as audited
from aiogate.journal.audit import lines_of
from aiogate.journal.reader import records
from aiogate.journal.record import timestamp

__all__ = ["audit"]


@click.group(
    help="""Search the journal, and prove that nobody has touched it.

    \b
    Example:
        aiogate audit show --principal alice --since 1h
        aiogate audit verify
    """
)
def audit() -> None:
    """Search and verify."""


@audit.command(
    help="""Show the exchanges that somebody asks about, oldest first.

    \b
    Example:
        aiogate audit show --principal alice --outcome refused --since 1h --json
    """
)
@journal_options
@click.option("--since", default="24h", show_default=True, help="From when: 7d, 12h, 30m, or 2026-01-31T00:00:00Z.")
@click.option("--until", help="Up to when.")
@click.option("--principal", help="Who called.")
@click.option("--key", "key_id", help="By which key.")
@click.option("--agent", help="Which agent was called.")
@click.option("--outcome", type=click.Choice([str(one) for one in Outcome]), help="How it ended.")
@click.option("--code", help="Why it was refused: rate_limited, policy_denied, ...")
@click.option("--rule", help="Which rule, limit or budget refused it.")
@click.option("--request", "request_id", help="The one of this X-Request-Id.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, also on a terminal.")
def show(
    config: Path, directory: Path | None, since: str, until: str | None, *, as_json: bool, **asked: str | None
) -> None:
    """Show what was asked for."""
    directory = journal_of(config, directory)
    end = None if until is None else timestamp(moment(until, "--until").timestamp())
    wanted = {name: value for name, value in asked.items() if value is not None}
    shown = shape(as_json=as_json)
    for record in records(directory, moment(since), report_torn, actions=True):
        if (end is None or record["time"] < end) and all(record.get(name) == value for name, value in wanted.items()):
            click.echo(shown(record))


@audit.command(
    help="""Look through the hash chain of the journal and name every record that was changed, taken out or put in.

    \b
    Example:
        aiogate audit verify --json
        aiogate audit verify --anchor 0a1b...   # a hash that an earlier run has printed, kept elsewhere

    Exits with 0 when the journal is as it was written, with 3 when it is not, and with 1 when it cannot be read. Who
    may write all of it can also make a new chain: keep the hash that this prints, and give it back as an anchor.
    """
)
@config_option
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path), required=False)
@click.option("--anchor", "anchors", multiple=True, help="A hash that has to be in the journal; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def verify(
    ctx: click.Context, config: Path, directory: Path | None, anchors: tuple[str, ...], *, as_json: bool
) -> None:
    """Verify the chain."""
    report = audited(journal_of(config, directory), anchors, progress("verified"))
    if as_json:
        said = {"intact": report.intact, **attrs.asdict(report)}
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    else:
        for line in lines_of(report.findings):
            click.echo(line)
        if report.unchained:
            click.echo(
                f"{len(report.unchained)} segments are of a version that did not chain: {report.unchained[-1]}, ..."
            )
        count = sum(finding.kind != "torn" for finding in report.findings)
        verdict = "the journal is as it was written" if report.intact else f"{count} finding{'s' if count > 1 else ''}"
        what = f"{report.records:,} record{'s' if report.records != 1 else ''}"
        where = f"{report.segments:,} segment{'s' if report.segments != 1 else ''}"
        click.echo(f"{what} in {where}: {verdict}")
        click.echo(f"last hash {report.head or 'none'}")
    ctx.exit(0 if report.intact else EX_TAMPERED)
