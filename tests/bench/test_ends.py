"""How agent and load generator are built, and what is said where they cannot be."""

from pathlib import Path

import pytest

from tests.bench.ends import PYTHON_ENDS, ends


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_program_is_compiled_once(tmp_path: Path) -> None:
    first = ends()
    if not first.native:
        pytest.skip(first.note)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert ends() == first
    assert {Path(*first.agent), Path(*first.load)} == set(made)
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_where_no_compiler_is_the_slow_ends_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    found = ends()
    assert (found.agent, found.load) == (PYTHON_ENDS.agent, PYTHON_ENDS.load)
    assert "apt-get install gcc" in found.note


def test_a_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    assert "false fails" in ends().note
