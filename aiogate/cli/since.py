"""Times as people give them on the command line: so long ago, or a moment."""

from datetime import datetime

import click

from aiogate.exchange import Clock
from aiogate.journal.moments import moment_of

__all__ = ["moment"]


def moment(text: str, option: str = "--since") -> datetime:
    """Return the moment that ``7d`` ago or ``2026-01-31T00:00:00Z`` is; raises ``click.UsageError``."""
    try:
        return moment_of(text, Clock().wall())
    except ValueError as error:
        msg = f"{option}: {error}"
        raise click.UsageError(msg) from error
