"""How records are shown by the commands that print them: JSON for scripts, one aligned line for people."""

import os
import sys
from collections.abc import Callable
from functools import partial

import click
import orjson

from aiogate.journal.pretty import pretty, welcomes_colour
from aiogate.journal.reader import Record, Torn

__all__ = ["report_torn", "shape"]


def report_torn(torn: Torn) -> None:
    """Say on stderr that something in the journal is no record."""
    click.echo(f"aiogate: {torn}", err=True)


def shape(*, as_json: bool) -> Callable[[Record], str | bytes]:
    """Return what makes a line of a record: JSON when it is asked for, and when stdout is no terminal."""
    if as_json or not sys.stdout.isatty():
        return orjson.dumps
    return partial(pretty, dated=True, coloured=welcomes_colour(sys.stdout, os.environ))
