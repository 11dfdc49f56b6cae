"""The totals of all gateways that share a Redis, for the commands that have ``--fleet``."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from aiogate.cli.where import state_of
from aiogate.journal.tally import QUARTER_SECONDS
from aiogate.journal.totals import Totals

__all__ = ["fleet_totals"]

_SILENT_SECONDS: Final = 60.0
_DAY_SECONDS: Final = 86400


@contextmanager
def fleet_totals(config: Path, begin: float, end: float | None) -> Iterator[Totals]:
    """Open the totals of all journals that were ever shipped, and say on stderr what is missing in them."""
    from aiogate.server.fleet import fleet_sums  # noqa: PLC0415 - the server's rooms are not needed without --fleet

    settings, now = state_of(config), time.time()
    since = begin // QUARTER_SECONDS * QUARTER_SECONDS
    kept = now - settings.fleet_days * _DAY_SECONDS
    if since < kept:
        click.echo(
            f"aiogate: Redis keeps {settings.fleet_days} days ([state] fleet_days); what is older is not in this",
            err=True,
        )
    sources, rows = fleet_sums(settings, max(since, kept), now + _DAY_SECONDS if end is None else end)
    for source in sources:
        if now - source.heard > _SILENT_SECONDS:
            when = datetime.fromtimestamp(source.heard, UTC).isoformat(timespec="seconds")
            click.echo(f"aiogate: the journal of {source.host} ({source.id}) was last heard of at {when}", err=True)
    with Totals.in_memory(rows) as totals:
        yield totals
