"""Shows a record to a person as one aligned line, for the access log and ``aiogate journal``.

Knows nothing of where the line goes: the caller says whether it is coloured.
"""

from collections.abc import Mapping
from typing import IO, Any, Final

from aiogate.journal.action import ABOUT, is_action
from aiogate.journal.reader import Record

__all__ = ["duration", "pretty", "size", "visible", "welcomes_colour"]

_COLOURS: Final = {2: "\x1b[32m", 4: "\x1b[33m", 5: "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"
_NANOUSD: Final = 1_000_000_000
_SMALL_NANOUSD: Final = 100_000


def pretty(record: Record, *, dated: bool = False, coloured: bool = False, first_byte: bool = False) -> str:
    """Return one line without a line feed: time in UTC, status, who, what, how long, how much, and what went wrong.

    ``first_byte``: how long that took stands before how long all of it took.

    What does not print is escaped, so that nothing a client sends can forge a line or move a cursor.
    """
    when = record["time"]
    time = f"{when[:10]} {when[11:23]}" if dated else when[11:23]
    if is_action(record):
        about = next((record[name] for name in ABOUT if record.get(name)), "-")
        said = f"{record.get('actor')} → {about}".ljust(22)
        return visible(f"{time}  ---  {said}  {record.get('action')}: {record.get('reason')}")
    columns = (
        f"{record.get('principal') or '-'} → {record.get('agent') or '-'}".ljust(22),
        f"{record.get('method')} {record.get('path')}".ljust(32),
        *([_first_byte(record).rjust(7)] if first_byte else []),
        duration(record.get("duration_seconds") or 0.0).rjust(7),
        size(record.get("bytes_out") or 0).rjust(8),
        _tokens(record.get("usage") or {}).rjust(13),
        _money(record.get("cost_nanousd")).rjust(9),
        _trouble(record),
    )
    return f"{visible(time)}  {_status(record, coloured)}  {visible('  '.join(columns)).rstrip()}"


def welcomes_colour(stream: IO[Any], environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal that knows colours, and its owner has not set ``NO_COLOR`` (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _status(record: Record, coloured: bool) -> str:
    status = int(record.get("status") or 0)
    text = str(status or "---")
    colour = _COLOURS.get(status // 100) if coloured else None
    return f"{colour}{text}{_PLAIN}" if colour else text


def _first_byte(record: Record) -> str:
    seconds = record.get("first_byte_seconds")
    return "" if seconds is None else f"{duration(seconds)} /"


def duration(seconds: float) -> str:
    """Return how long something took, for a person."""
    if seconds < 0.01:  # noqa: PLR2004 - below 10 ms the tenths matter
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"  # noqa: PLR2004 - no "1000 ms"


def size(count: int) -> str:
    """Return how much something is in bytes, for a person."""
    rest = float(count)
    for unit in ("B", "kB", "MB"):
        if rest < 1000:  # noqa: PLR2004 - SI prefixes
            return f"{rest:.0f} {unit}" if unit == "B" else f"{rest:.1f} {unit}"
        rest /= 1000
    return f"{rest:.1f} GB"


def _tokens(usage: Mapping[str, Any]) -> str:
    if "input_tokens" not in usage and "output_tokens" not in usage:
        return ""
    return f"{usage.get('input_tokens', '?')}→{usage.get('output_tokens', '?')} tok"


def _money(cost_nanousd: int | None) -> str:
    if not cost_nanousd:
        return ""
    return f"${cost_nanousd / _NANOUSD:.{6 if cost_nanousd < _SMALL_NANOUSD else 4}f}"


def _trouble(record: Record) -> str:
    """Return the refusal's code and rule, or else how the exchange ended when it did not end well."""
    outcome = record.get("outcome")
    what = record.get("code") or (_failed_call(record.get("call") or {}) if outcome == "completed" else outcome)
    return f"{what} ({record['rule']})" if record.get("rule") else str(what)


def _failed_call(call: Mapping[str, Any]) -> str:
    """Return which call has failed although its status is 200, and how."""
    return " ".join(call[name] for name in ("method", "tool", "failed") if name in call) if "failed" in call else ""


def visible(text: str) -> str:
    """Return a text with what does not print escaped, so that it can neither forge a line nor move a cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
