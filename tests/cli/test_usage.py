"""``aiogate usage``: reports from the totals for people, scripts and spreadsheets, and the FOCUS export."""

import csv
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from aiogate.cli.focus import focus_columns, focus_rows
from aiogate.cli.money import dollars, money
from aiogate.cli.table import csv_text
from aiogate.cli.usage import usage
from aiogate.journal.sums import Sums, sums
from aiogate.journal.tally import COUNTS, NAMES
from aiogate.journal.totals import Totals
from tests.journal.segments import lines, write
from tests.journal.test_totals import an_ended

SINCE = "2026-01-01T00:00:00Z"
ROWS = int(os.environ.get("AIOGATE_TOTALS_RECORDS", "200000"))
"""So many records stand behind the totals that a report is timed on."""
EXCUSED = {
    "InvoiceIssuer_Required",  # the validator looks for names of the columns that the specification has given up
    "Provider_Required",
    "Publisher_Required",
    "ResourceID_Required",
    "SkuPriceId_Nullable",  # it asks for ChargeType, of another version
    "BillingCurrency_IsCurrencyCode",  # its list of currencies is not in its package
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shared = {"data": 60, "support": 40}
    records = [
        an_ended(1, cost_center="data", cost_nanousd=1_234_567_890, department="research"),
        an_ended(2, agent="billing", cost_centers=shared, cost_nanousd=250_000_000_001, key_id="k-1"),
        an_ended(2, agent="billing", principal="=bob", cost_nanousd=None, unpriced=True),
        an_ended(3, agent="tiny", principal="bob\x1b[31m", cost_nanousd=10),
        an_ended(3, agent=None, outcome="refused", usage={"source": "unknown"}, cost_nanousd=None),
    ]
    write(tmp_path / "1.jsonl", lines(*records))
    return tmp_path


def run(directory: Path, *options: str) -> str:
    result = CliRunner().invoke(usage, [*options, "--dir", str(directory)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def report(directory: Path, *options: str) -> str:
    return run(directory, "--since", SINCE, *options)


def test_a_report_is_aligned_readable_and_says_what_is_unpriced(directory: Path) -> None:
    assert report(directory, "--by", "cost_center,agent") == (
        "cost_center  agent    calls  refused  input  output       cost  unpriced\n"
        "------------------------------------------------------------------------\n"
        "data         billing      1        0      6       3    $150.00\n"
        "support      billing      1        0      4       2    $100.00\n"
        "data         support      1        0     10       5    $1.2346\n"
        "-            tiny         1        0     10       5   <$0.0001\n"
        "-            -            1        1      0       0    $0.0000\n"
        "-            billing      1        0     10       5   unpriced   1 calls\n"
        "------------------------------------------------------------------------\n"
        "total                     5        1     40      20  $251.23 +   1 calls\n"
    )


def test_names_cannot_move_the_cursor_or_become_formulas(directory: Path) -> None:
    assert "bob\\x1b[31m" in report(directory, "--by", "principal")
    assert "'=bob" in report(directory, "--by", "principal", "--csv")


def test_json_has_nano_dollars_and_nothing_is_lost_in_a_split(directory: Path) -> None:
    said = orjson.loads(report(directory, "--by", "cost-center", "--json"))
    assert said["total"]["cost_nanousd"] == sum(row["cost_nanousd"] for row in said["rows"]) == 251_234_567_901
    assert {row["cost_center"] for row in said["rows"]} == {"data", "support", None}
    assert said["total"]["calls"] == 5


def test_csv_has_exact_dollars(directory: Path) -> None:
    rows = list(csv.DictReader(report(directory, "--by", "day", "--csv").splitlines()))
    assert [(row["day"], row["cost_usd"]) for row in rows] == [
        ("2026-01-01", "1.23456789"),
        ("2026-01-02", "250.000000001"),
        ("2026-01-03", "0.00000001"),
    ]


def test_a_report_can_be_of_one_caller_in_a_time(directory: Path) -> None:
    said = orjson.loads(report(directory, "--principal", "alice", "--until", "2026-01-02T00:00:00Z", "--json"))
    assert [row["agent"] for row in said["rows"]] == ["support"]


def test_nothing_is_said_in_words(directory: Path) -> None:
    assert run(directory, "--since", "1m") == "nothing was used in that time\n"


def test_totals_are_made_anew_on_demand(directory: Path) -> None:
    before = report(directory)
    (directory / "totals.sqlite").write_bytes(b"broken")
    result = CliRunner().invoke(usage, ["--dir", str(directory)])
    assert "aiogate usage --rebuild" in str(result.exception)
    assert report(directory, "--rebuild") == before


def test_what_one_cannot_ask_by_is_said(directory: Path) -> None:
    for by in ("price", "agent,agent"):
        result = CliRunner().invoke(usage, ["--dir", str(directory), "--by", by])
        assert (result.exit_code, "--by: " in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "part, expected",
    [
        (Sums(cost_nanousd=1_234_000_000_000), "$1,234.00"),
        (Sums(cost_nanousd=99_990_000_000), "$99.9900"),
        (Sums(cost_nanousd=5_000, unpriced=1), "<$0.0001 +"),
        (Sums(unpriced=3), "unpriced"),
        (Sums(), "$0.0000"),
    ],
)
def test_money_is_short_and_never_nothing_for_what_is_unpriced(part: Sums, expected: str) -> None:
    assert money(part) == expected


def test_dollars_for_programs_are_exact() -> None:
    assert [dollars(nanousd) for nanousd in (0, 1, 10**9, 1_500_000_000)] == ["0", "0.000000001", "1", "1.5"]


def exported(directory: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(run(directory, "export", "--since", SINCE).splitlines()))


def test_the_export_has_a_row_for_each_day_agent_and_cost_centre(directory: Path) -> None:
    rows = exported(directory)
    assert [(row["ChargePeriodStart"], row["ServiceName"], row["SubAccountId"], row["BilledCost"]) for row in rows] == [
        ("2026-01-01T00:00:00Z", "support", "data", "1.23456789"),
        ("2026-01-02T00:00:00Z", "billing", "", "0"),
        ("2026-01-02T00:00:00Z", "billing", "data", "150.000000001"),
        ("2026-01-02T00:00:00Z", "billing", "support", "100"),
        ("2026-01-03T00:00:00Z", "tiny", "", "0.00000001"),
    ]
    assert rows[1]["x_UnpricedCalls"] == "1"
    assert "unpriced" in rows[1]["ChargeDescription"]
    assert {(row["BillingPeriodStart"], row["BillingPeriodEnd"]) for row in rows} == {
        ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    }


def test_the_finops_foundations_validator_has_nothing_against_the_export(directory: Path) -> None:
    """``pip install focus-validator 'multimethod<2' 'setuptools<80'`` where nothing else is installed."""
    validator = os.environ.get("AIOGATE_FOCUS_VALIDATOR")
    if validator is None:
        pytest.skip("AIOGATE_FOCUS_VALIDATOR names none; it wants an environment of its own: see the docstring")
    with Totals.of(directory) as totals:
        totals.fold()
        (directory / "focus.csv").write_text(csv_text(focus_columns(), focus_rows(totals, 0.0)))
    command = [validator, "--data-file", str(directory / "focus.csv"), "--validate-version", "1.0"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    failed = set(re.findall(r"^(\w+) failed:", said, re.MULTILINE))
    assert "Errors encountered" in said
    assert failed <= EXCUSED


def test_a_report_on_many_records_takes_less_than_a_second(tmp_path: Path) -> None:
    """As totals that ``ROWS`` records have left: a month of 600 keys, 10 agents, 3 models, 8 cost centres."""
    who = [
        (f"p{n % 40}", f"d{n % 5}", f"a{n % 10}", f"c{n % 8}", "", f"k{n}", f"m{n % 3}", "measured") for n in range(600)
    ]
    with Totals.of(tmp_path) as totals:
        marks = ", ".join("?" * len(NAMES))
        totals.db.execute("BEGIN")
        totals.db.executemany(f"INSERT OR IGNORE INTO who ({', '.join(NAMES)}) VALUES ({marks})", who)  # noqa: S608 - of constants
        numbers = [number for (number,) in totals.db.execute("SELECT id FROM who")]
        quarters = [(1767225600 + 900 * n, number) for n in range(2880) for number in numbers[n % 3 :: 3]]
        each = ROWS // len(quarters) or 1
        figures = [each, 0, 0, each * 1000, *(each * 10 for _ in COUNTS[4:])]
        places = ", ".join("?" * (2 + len(COUNTS)))
        totals.db.executemany(f"INSERT INTO quarters VALUES ({places})", [(*row, *figures) for row in quarters])  # noqa: S608 - of constants
        added = ", ".join(f"sum({count})" for count in COUNTS)
        for table, size in (("hours", 3600), ("days", 86400)):
            begin = f"bucket - bucket % {size}"
            totals.db.execute(f"INSERT INTO {table} SELECT {begin}, who, {added} FROM quarters GROUP BY 1, 2")  # noqa: S608 - of constants
        totals.db.execute("COMMIT")
    began = time.perf_counter()
    with Totals.of(tmp_path) as totals:
        found = sums(totals, ("cost_center", "agent"), 1767225600 + 3600 * 5, 1767225600 + 86400 * 30)
        sums(totals, (), 1767225600 + 3600 * 5)
    seconds = time.perf_counter() - began
    print(f"\n{each * len(quarters):,} records in {len(quarters):,} rows: {seconds:.3f} s")  # noqa: T201 - the figure
    assert sum(part.calls for part in found.values()) > 0
    assert seconds < 1.0


def test_an_export_of_nothing_has_its_heading(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", b"")
    (heading,) = run(tmp_path, "export").splitlines()
    assert heading.split(",")[-1] == "x_OutputTokens"
    assert run(tmp_path, "--by", "agent", "--csv").startswith("agent,calls,")


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--json", "--csv"], "give --json or --csv, not both"),
        (["--since", "yesterday"], "--since: expected 7d"),
    ],
)
def test_a_wrong_call_exits_2(options: list[str], sentence: str, directory: Path) -> None:
    result = CliRunner().invoke(usage, [*options, "--dir", str(directory)])
    assert (result.exit_code, sentence in result.stderr) == (2, True)
