"""``aiogate journal tail``: the last records, the wanted ones, and those to come."""

import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from aiogate.cli.journal import journal
from tests.journal.segments import a_record, lines, write

COMMAND = (sys.executable, "-c", "from aiogate.cli import main; main()", "journal", "tail")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    people = [("alice", "support"), ("bob", "support"), ("alice", "analytics")]
    write(
        tmp_path / "1.jsonl",
        lines(
            *(
                a_record(
                    number,
                    second=number,
                    principal=people[number % 3][0],
                    agent=people[number % 3][1],
                    outcome="refused" if number % 5 == 0 else "completed",
                )
                for number in range(30)
            )
        ),
    )
    return tmp_path


def tail(directory: Path, *options: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(journal, ["tail", "--dir", str(directory), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [orjson.loads(line) for line in result.output.splitlines()]


def numbers(records: list[dict[str, Any]]) -> list[int]:
    return [record["n"] for record in records]


def test_it_shows_the_last_ten_oldest_first(directory: Path) -> None:
    assert numbers(tail(directory)) == list(range(20, 30))


def test_it_shows_as_many_as_are_asked_for(directory: Path) -> None:
    assert numbers(tail(directory, "-n", "2")) == [28, 29]
    assert numbers(tail(directory, "-n", "1000")) == list(range(30))
    assert tail(directory, "-n", "0") == []


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--principal", "bob"], [22, 25, 28]),
        (["--agent", "analytics"], [23, 26, 29]),
        (["--refused"], [15, 20, 25]),
        (["--principal", "alice", "--refused"], [5, 15, 20]),
        (["--principal", "nobody"], []),
    ],
)
def test_it_counts_only_the_wanted_records(options: list[str], expected: list[int], directory: Path) -> None:
    assert numbers(tail(directory, "-n", "3", *options)) == expected


def test_the_config_says_where_the_journal_is(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = directory / "gateway.toml"
    config.write_text(
        '[server]\nanonymous = true\n[journal]\ndir = "."\n[agents.support]\nurl = "http://127.0.0.1:8001"\n'
    )
    monkeypatch.setenv("AIOGATE_CONFIG", str(config))
    result = CliRunner().invoke(journal, ["tail", "-n", "1"], catch_exceptions=False)
    assert orjson.loads(result.output)["n"] == 29


def test_a_journal_that_is_not_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    ran = subprocess.run([*COMMAND, "--dir", str(tmp_path / "nowhere")], capture_output=True, check=False, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("aiogate: there is no journal in ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_gets_one_aligned_line_per_record_unless_it_asks_for_json(as_json: bool, directory: Path) -> None:
    master, slave = pty.openpty()
    with open(master, "rb", buffering=0) as screen:  # noqa: PTH123 - a descriptor, no path
        with open(slave, "wb") as terminal:  # noqa: PTH123 - likewise
            options = ["--dir", str(directory), "-n", "1", *(["--json"] if as_json else [])]
            subprocess.run([*COMMAND, *options], stdout=terminal, check=True)
            shown = screen.read(10_000).decode()
    if as_json:
        assert orjson.loads(shown)["n"] == 29
    else:
        assert shown.startswith("2026-01-01 12:00:29.000  ---  alice → analytics ")


def test_it_follows_into_new_segments_until_ctrl_c(directory: Path) -> None:
    options = ["--dir", str(directory), "-n", "1", "--follow", "--principal", "alice"]
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert orjson.loads(command.stdout.readline())["n"] == 29
        write(directory / "1.jsonl", lines(a_record(30, principal="alice"), a_record(31, principal="bob")))
        assert orjson.loads(command.stdout.readline())["n"] == 30
        write(directory / "2.jsonl", b"torn\n" + lines(a_record(32, principal="alice")))
        assert orjson.loads(command.stdout.readline())["n"] == 32
        assert b"2.jsonl: skipped a torn record of 5 bytes at byte 0" in command.stderr.readline()
        command.send_signal(signal.SIGINT)
        assert command.wait() == 0
        assert command.stderr.read() == b""


@pytest.mark.parametrize("arguments", [["--help"], ["tail", "--help"]], ids=" ".join)
def test_help_shows_an_example_before_the_options(arguments: list[str]) -> None:
    output = CliRunner().invoke(journal, arguments).output
    assert output.index("Example:\n") < output.index("Options:")
    assert "aiogate journal tail " in output
