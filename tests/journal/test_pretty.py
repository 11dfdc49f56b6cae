"""Records for people: one aligned line each, that nothing from outside can forge."""

import io
from typing import Any

import pytest

from aiogate.journal.pretty import pretty, welcomes_colour

RECORD: dict[str, Any] = {
    "time": "2026-01-01T12:00:01.123Z",
    "principal": "alice",
    "agent": "support",
    "method": "POST",
    "path": "/agents/support/chat",
    "status": 200,
    "outcome": "completed",
    "code": None,
    "duration_seconds": 0.045,
    "bytes_out": 1200,
    "usage": {"source": "measured", "input_tokens": 12, "output_tokens": 34},
    "cost_nanousd": 400_000,
}
REFUSED = {
    **RECORD,
    "principal": None,
    "status": 429,
    "outcome": "refused",
    "code": "rate_limited",
    "rule": "per-agent",
    "duration_seconds": 0.0004,
    "bytes_out": 312,
    "usage": {"source": "unknown"},
    "cost_nanousd": None,
}


def words(**facts: Any) -> str:
    return " ".join(pretty({**RECORD, **facts}).split())


def test_records_are_aligned() -> None:
    assert pretty(RECORD) == (
        "12:00:01.123  200  alice → support         POST /agents/support/chat"
        "           45 ms    1.2 kB      12→34 tok    $0.0004"
    )
    assert pretty(REFUSED) == (
        "12:00:01.123  429  - → support             POST /agents/support/chat"
        "          0.4 ms     312 B                            rate_limited (per-agent)"
    )


def test_a_dated_line_begins_with_its_day() -> None:
    assert pretty(RECORD, dated=True).startswith("2026-01-01 12:00:01.123  200")


@pytest.mark.parametrize("status, colour", [(200, "\x1b[32m"), (404, "\x1b[33m"), (502, "\x1b[31m")])
def test_the_status_is_coloured_where_that_is_welcome(status: int, colour: str) -> None:
    assert f"  {colour}{status}\x1b[0m  " in pretty({**RECORD, "status": status}, coloured=True)
    assert "\x1b" not in pretty({**RECORD, "status": status})


@pytest.mark.parametrize(
    "facts, shown",
    [
        ({"duration_seconds": 12.34}, "12.3 s"),
        ({"duration_seconds": 0.9999}, "1.0 s"),
        ({"bytes_out": 999}, "999 B"),
        ({"bytes_out": 3_400_000}, "3.4 MB"),
        ({"bytes_out": 5_000_000_000_000}, "5000.0 GB"),
        ({"usage": {"output_tokens": 7}}, "?→7 tok"),
        ({"cost_nanousd": 1234}, "$0.000001"),
        ({"cost_nanousd": 1_500_000_000}, "$1.5000"),
        ({"outcome": "client_gone"}, "client_gone"),
        ({"status": 0, "outcome": "client_gone"}, "12:00:01.123 --- alice"),
    ],
)
def test_figures_have_their_units(facts: dict[str, Any], shown: str) -> None:
    assert shown in words(**facts)


@pytest.mark.parametrize("name", ["principal", "agent", "method", "path", "code", "rule", "outcome"])
def test_nothing_can_forge_a_line_or_move_a_cursor(name: str) -> None:
    line = pretty({**RECORD, name: "a\n\r\x1b[2J\x9b\u202e\u2028b"}, coloured=True)
    assert r"a\n\r\x1b[2J\x9b\u202e\u2028b" in line
    assert line.replace("\x1b[32m", "").replace("\x1b[0m", "").isprintable()


class Terminal(io.BytesIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_whose_owner_wants_them() -> None:
    assert welcomes_colour(Terminal(), {})
    assert welcomes_colour(Terminal(), {"NO_COLOR": ""})
    assert not welcomes_colour(Terminal(), {"NO_COLOR": "1"})
    assert not welcomes_colour(io.BytesIO(), {})
