"""``aiogate journal``: the records, for people on a terminal and as JSON lines for scripts."""

import contextlib
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import attrs
import click

from aiogate.cli.lines import report_torn, shape
from aiogate.cli.where import journal_of, journal_options
from aiogate.journal.backwards import newest_first
from aiogate.journal.reader import Record, ends, follow

__all__ = ["journal"]

_POLL_SECONDS: Final = 0.25


@attrs.frozen(kw_only=True)
class _Wanted:
    """Which records to show; None: any."""

    principal: str | None
    agent: str | None
    refused: bool

    def __call__(self, record: Record) -> bool:
        return (
            (self.principal is None or record.get("principal") == self.principal)
            and (self.agent is None or record.get("agent") == self.agent)
            and (not self.refused or record.get("outcome") == "refused")
        )


@click.group(
    help="""Read the journal: one record per exchange.

    \b
    Example:
        aiogate journal tail --follow
    """
)
def journal() -> None:
    """Read the journal."""


@journal.command(
    help="""Show the last records.

    \b
    Example:
        aiogate journal tail -n 20 --principal alice --refused
    """
)
@journal_options
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="How many records.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with new records as they are written.")
@click.option("--principal", help="Only exchanges of this caller.")
@click.option("--agent", help="Only exchanges with this agent.")
@click.option("--refused", is_flag=True, help="Only refusals.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, also on a terminal.")
def tail(  # noqa: PLR0913, PLR0917 - one argument for each option
    config: Path,
    directory: Path | None,
    count: int,
    following: bool,
    principal: str | None,
    agent: str | None,
    refused: bool,
    as_json: bool,
) -> None:
    """Show the last records, and with ``--follow`` those to come until Ctrl-C."""
    directory = journal_of(config, directory)
    wanted = _Wanted(principal=principal, agent=agent, refused=refused)
    shown = shape(as_json=as_json)
    with contextlib.suppress(KeyboardInterrupt):
        for record in _records(directory, wanted, count, following=following):
            click.echo(shown(record))


def _records(directory: Path, wanted: _Wanted, count: int, *, following: bool) -> Iterator[Record]:
    positions = ends(directory)
    yield from reversed(list(islice(filter(wanted, newest_first(directory, positions)), count)))
    if following:
        yield from filter(wanted, follow(directory, _pause, positions, report_torn))


def _pause() -> bool:
    time.sleep(_POLL_SECONDS)
    return True
