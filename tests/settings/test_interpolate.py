"""References in texts: what they become, and that no message shows it."""

from pathlib import Path

import pytest

from aiogate.errors import Problem
from aiogate.settings.interpolate import interpolate
from tests.settings.conftest import IN_ORDER, Refuse

ENVIRON = {"TOKEN": "t0ken", "EMPTY": "", "NESTED": "${TOKEN}"}


def put_in(text: str, folder: Path = Path()) -> str | list[Problem]:
    problems: list[Problem] = []
    tables = interpolate({"a": [{"b": text}]}, ENVIRON, folder, problems.append)
    value: str = tables["a"][0]["b"]
    return problems or str(value)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Bearer ${TOKEN}", "Bearer t0ken"),
        ("${TOKEN}${TOKEN}", "t0kent0ken"),
        ("${NONE:-plan b}", "plan b"),
        ("${EMPTY:-plan b}", "plan b"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${TOKEN:-plan b}", "t0ken"),
        ("${NESTED}", "${TOKEN}"),
        ("$${TOKEN}", "${TOKEN}"),
        ("$$5 and {braces}", "$$5 and {braces}"),
    ],
)
def test_a_reference_becomes_what_it_names(text: str, expected: str) -> None:
    assert put_in(text) == expected


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_is_read_without_its_last_line_break(tmp_path: Path, end: str) -> None:
    (tmp_path / "secret").write_bytes(f"s3cret{end}".encode())
    assert put_in("${file:secret}", tmp_path) == put_in(f"${{file:{tmp_path}/secret}}") == "s3cret"


@pytest.mark.parametrize(
    "text, message",
    [
        ("${NONE}", "environment variable NONE is not set; ${NONE:-default} gives it a default"),
        ("${file:none}", "${file:none} cannot be read: No such file or directory"),
        ("${file:}", "${file:} cannot be read: Is a directory"),
        ("${a b}", "${a b} is no reference; write ${VAR}, ${VAR:-default}, ${file:PATH} or $${ for itself"),
        ("${}", "${} is no reference; write ${VAR}, ${VAR:-default}, ${file:PATH} or $${ for itself"),
        ("${TOKEN", "'${' has no '}', or another '{' before it; a '${' that stands for itself is written '$${'"),
        ("${A:-${B}}", "'${' has no '}', or another '{' before it; a '${' that stands for itself is written '$${'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_problem(text: str, message: str) -> None:
    assert put_in(text) == [Problem("a[0].b", message)]


def test_a_file_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    assert put_in("${file:secret}", tmp_path) == [
        Problem("a[0].b", "${file:secret} cannot be read: not UTF-8, or no path")
    ]


def test_of_a_reference_that_leads_nowhere_nothing_else_is_said(problems: Refuse) -> None:
    [problem] = problems(IN_ORDER + 'rate_limit = "${RATE}"\n')
    assert problem.startswith("agents.support.rate_limit: environment variable RATE is not set")


@pytest.mark.parametrize(
    "line",
    [
        'agents.support.rate_limit = "${SECRET}"',
        'agents.support.url = "${SECRET}"',
        'agents.support.concurrency = "${SECRET}"',
        'server.listen = "${SECRET}"',
        'server.access_log = "${SECRET}"',
        'server.max_body = "${SECRET}"',
        'pipeline.plugins = ["${SECRET}", "${SECRET}"]',
        'plugins.keys.word = "${SECRET}"',
        'plugins.broken.text = "${SECRET}"',
        'plugins.keys = { password = "${SECRET}", keys = [{id="a", secret="a"}, {id="b", secret="b"}] }',
    ],
)
def test_a_problem_quotes_the_reference_and_never_what_came_out_of_it(problems: Refuse, line: str) -> None:
    config = 'pipeline.plugins = ["keys", "broken"]\n' if "pipeline" not in line else ""
    found = "\n".join(problems(f"{config}{line}\n", {"SECRET": "hunter2"}))
    assert "${SECRET}" in found
    assert "hunter2" not in found
