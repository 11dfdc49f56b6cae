"""``aiogate audit``: what an auditor asks for, and whether anybody has touched it."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from aiogate.cli.audit import audit
from tests.journal.segments import a_record, lines, write
from tests.journal.test_audit import append


def show(directory: Path, *options: str) -> list[dict[str, Any]]:
    command = ["show", "--dir", str(directory), "--since", "2026-01-01T00:00:00Z", "--json", *options]
    result = CliRunner().invoke(audit, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [orjson.loads(line) for line in result.output.splitlines()]


def verify(*options: str) -> Result:
    return CliRunner().invoke(audit, ["verify", *options], catch_exceptions=False)


@pytest.mark.parametrize(
    "options, expected",
    [
        ([], [0, 1, 2, 3]),
        (["--principal", "alice"], [0, 2]),
        (["--key", "k-1"], [1]),
        (["--agent", "support", "--outcome", "refused"], [2]),
        (["--code", "rate_limited"], [2]),
        (["--rule", "per-minute"], [2]),
        (["--request", "r-3"], [3]),
        (["--until", "2026-01-01T12:00:02Z"], [0, 1]),
        (["--principal", "nobody"], []),
    ],
)
def test_it_shows_the_records_that_are_asked_for(options: list[str], expected: list[int], tmp_path: Path) -> None:
    refused = {"outcome": "refused", "code": "rate_limited", "rule": "per-minute", "agent": "support"}
    records = [
        a_record(0, 0, principal="alice", request_id="r-0"),
        a_record(1, 1, principal="bob", key_id="k-1", request_id="r-1"),
        a_record(2, 2, principal="alice", request_id="r-2", **refused),
        a_record(3, 3, request_id="r-3"),
    ]
    write(tmp_path / "1.jsonl", lines(*records))
    assert [record["n"] for record in show(tmp_path, *options)] == expected


def test_an_untouched_journal_is_verified_with_its_last_hash(tmp_path: Path) -> None:
    append(tmp_path, range(5))
    result = verify(str(tmp_path))
    assert result.exit_code == 0
    assert result.output.startswith("5 records in 1 segment: the journal is as it was written\nlast hash ")
    head = result.output.split()[-1]
    assert verify(str(tmp_path), "--anchor", head).exit_code == 0
    assert verify(str(tmp_path), "--anchor", "0" * 64).exit_code == 3


def test_a_finding_names_file_line_and_request_and_the_exit_code_is_3(tmp_path: Path) -> None:
    append(tmp_path, range(5))
    [path] = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"cost_nanousd":3', b'"cost_nanousd":0'))
    result = verify(str(tmp_path))
    assert result.exit_code == 3
    assert result.output.startswith(f"changed  {path.name}:4 (request id-3): ")
    said = orjson.loads(verify(str(tmp_path), "--json").output)
    assert (said["intact"], said["findings"][0]["request_id"], said["findings"][0]["line"]) == (False, "id-3", 4)


def test_the_config_says_where_the_journal_is(tmp_path: Path) -> None:
    append(tmp_path / "journal", range(2))
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[server]\nanonymous = true\n[journal]\ndir = "journal"\n[agents.a]\nurl = "http://127.0.0.1:9"\n'
    )
    assert verify("--config", str(config)).output.startswith("2 records ")


def test_a_folder_with_the_name_of_a_segment_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").mkdir()
    assert "0 records in 0 segments" in verify(str(tmp_path)).output
