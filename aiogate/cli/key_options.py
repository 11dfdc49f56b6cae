"""What is said of a key on the command line, and what is made of it; for ``aiogate keys``."""

import ipaddress
import os
import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from aiogate import Clock

__all__ = ["checked_id", "label", "moment", "networks", "not_empty", "pepper", "span"]

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DAYS: Final = re.compile(r"(?P<days>[0-9]+)d")
_SPAN: Final = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[dhms])|0")
_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}

Context = click.Context
Parameter = click.Parameter


def checked_id(_context: Context, _parameter: Parameter, text: str | None) -> str | None:
    """Return a key's id."""
    if text is not None and not _ID.fullmatch(text):
        msg = "expected 1 to 64 letters, digits or '-'"
        raise click.BadParameter(msg)
    return text


def not_empty(_context: Context, _parameter: Parameter, text: str) -> str:
    """Return a name."""
    if not text:
        msg = "expected a name"
        raise click.BadParameter(msg)
    return text


def networks(_context: Context, _parameter: Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return CIDRs."""
    try:
        return tuple(str(ipaddress.ip_network(text)) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def moment(_context: Context, _parameter: Parameter, text: str | None) -> datetime | None:
    """Return the time that ``90d`` from now or ``2027-01-01T00:00:00Z`` is."""
    if text is None:
        return None
    now = datetime.fromtimestamp(int(Clock().wall()), UTC)
    try:
        days = _DAYS.fullmatch(text)
        moment = now + timedelta(days=int(days["days"])) if days else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"expected a number of days such as 90d, or a time such as 2027-01-01T00:00:00Z, got {text!r}"
        raise click.BadParameter(msg)
    if moment <= now:
        msg = f"{text} is over already"
        raise click.BadParameter(msg)
    return moment


def span(_context: Context, _parameter: Parameter, text: str) -> float:
    """Return how many seconds ``7d``, ``12h``, ``30m`` or ``10s`` are."""
    match = _SPAN.fullmatch(text)
    if match is None:
        msg = f"expected a time such as 7d, 12h, 30m, 10s or 0, got {text!r}"
        raise click.BadParameter(msg)
    return int(match["count"]) * _SECONDS[match["unit"]] if match["unit"] else 0.0


def label(_context: Context, _parameter: Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Return the labels that ``team=blue`` and others are."""
    labels = dict[str, str]()
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            msg = f"expected NAME=VALUE, got {text!r}"
            raise click.BadParameter(msg)
        labels[name] = value
    return labels


def pepper(_context: Context, _parameter: Parameter, name: str | None) -> str | None:
    """Return the name of an environment variable that holds a pepper."""
    if name is not None and not os.environ.get(name):
        msg = f"the environment has no {name}, or an empty one"
        raise click.BadParameter(msg)
    return name
