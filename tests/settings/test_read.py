"""A file to tables: whatever it is, the answer is a problem with a sentence."""

from decimal import Decimal
from pathlib import Path

import pytest

from aiogate.errors import Problem, SettingsError
from aiogate.settings.read import read_tables, read_text


def refused(path: Path, content: bytes) -> Problem:
    path.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        read_tables(path, read_text(path))
    [problem] = raised.value.problems
    return problem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def test_numbers_with_a_point_stay_exact(path: Path) -> None:
    assert read_tables(path, "usd = 0.1")["usd"] == Decimal("0.1")


def test_a_byte_order_mark_is_no_mistake(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_tables(path, read_text(path)) == {"a": 1}


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"a = 1\nb = = 2\n", Problem("", "not valid TOML: Invalid value, column 5", 2)),
        (b"a = 1\na = 2\n", Problem("", "not valid TOML: Cannot overwrite a value, column 6", 2)),
        (b'a = "x\n', Problem("", "not valid TOML: a text has no closing quote on its line, column 7", 1)),
        (b"a = [\n", Problem("", "not valid TOML: Invalid value (at end of document)")),
        (b"a = 1\nb = '\xff'\n", Problem("", "expected UTF-8 text, got other bytes", 2)),
        (b"a = " + b"[" * 5_000 + b"]" * 5_000, Problem("", "not valid TOML: nested too deeply")),
        (b"a = " + b"9" * 5_000, Problem("", "not valid TOML: a number of too many digits")),
    ],
    ids=["syntax", "twice", "quote", "unclosed", "bytes", "deep", "digits"],
)
def test_what_is_no_toml_is_one_problem(path: Path, content: bytes, problem: Problem) -> None:
    assert refused(path, content) == problem


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_text(tmp_path)
