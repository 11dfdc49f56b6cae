"""A config of several files: put together, with every problem at the file and line where it stands."""

from pathlib import Path

import pytest

from aiogate.errors import Problem, SettingsError
from aiogate.settings.document import Document
from tests.settings.conftest import IN_ORDER, Load, Refuse

MAIN = 'include = ["more/*.toml"]\n' + IN_ORDER


@pytest.fixture
def more(tmp_path: Path) -> Path:
    folder = tmp_path / "more"
    folder.mkdir()
    return folder


def test_tables_are_merged_and_arrays_of_tables_appended(more: Path, load: Load) -> None:
    (more / "b.toml").write_text('[[plugins.keys.keys]]\nid = "third"\nsecret = "c"\n')
    (more / "a.toml").write_text(
        '[agents.other]\nurl = "http://other"\n[agents.support]\nrate_limit = "1/second"\n'
        '[[plugins.keys.keys]]\nid = "second"\nsecret = "b"\n'
    )
    settings = load(MAIN + '[[plugins.keys.keys]]\nid = "first"\nsecret = "a"\n')
    assert list(settings.agents) == ["support", "other"]
    assert str(settings.agents["support"].rate_limit) == "1/second"
    assert [key.id for key in settings.plugins["keys"].keys] == ["first", "second", "third"]
    assert [file.name for file in settings.files] == ["gateway.toml", "a.toml", "b.toml"]


def test_a_key_that_is_given_twice_is_a_problem_with_both_places(more: Path, problems: Refuse) -> None:
    (more / "a.toml").write_text('[agents.support]\n\nurl = "http://elsewhere"\n[pipeline]\nplugins = []\n')
    path = more.parent
    assert problems(MAIN) == [
        f"agents.support.url: is given twice, also in {path}/gateway.toml, line 6 ({more}/a.toml, line 3)",
        f"pipeline.plugins: is given twice, also in {path}/gateway.toml, line 3 ({more}/a.toml, line 5)",
    ]


def test_a_key_that_two_included_files_give_names_them_both(more: Path, problems: Refuse) -> None:
    (more / "a.toml").write_text('[agents.other]\nurl = "http://a"\n')
    (more / "b.toml").write_text('[agents]\nother.url = "http://b"\n')
    assert problems(MAIN) == [
        f"agents.other.url: is given twice, also in {more}/a.toml, line 2 ({more}/b.toml, line 2)"
    ]


def test_a_problem_is_placed_in_the_file_that_it_is_in(more: Path, problems: Refuse) -> None:
    """What is the second key of the config is the first of its file."""
    (more / "a.toml").write_text('[[plugins.keys.keys]]\nid = "second"\nsecret = 2\n')
    config = MAIN + '[[plugins.keys.keys]]\nid = "first"\nsecret = "a"\nx = 1\n'
    assert problems(config) == [
        "plugins.keys.keys[0].x: unknown key; known are: id, secret, usd (line 10)",
        f"plugins.keys.keys[1].secret: expected a string ({more}/a.toml, line 3)",
    ]


def test_a_pattern_that_names_no_file_is_a_problem(problems: Refuse, tmp_path: Path) -> None:
    assert problems(MAIN) == [f"include[0]: 'more/*.toml' names no file in {tmp_path} (line 1)"]


def test_what_is_no_array_of_paths_is_a_problem(problems: Refuse) -> None:
    expected = 'include: expected an array of paths, such as ["policies/*.toml"] (line 1)'
    assert problems('include = "more/*.toml"\n') == [expected]
    assert problems("include = [1]\n") == [expected]


def test_an_included_file_includes_no_others(more: Path, problems: Refuse) -> None:
    (more / "a.toml").write_text('include = ["b.toml"]\n')
    assert problems(MAIN) == [
        f"include: is for the main file alone; an included file includes no others ({more}/a.toml, line 1)"
    ]


def test_a_file_that_is_no_toml_is_named(more: Path, problems: Refuse) -> None:
    (more / "a.toml").write_text("[agents\n")
    (more / "b.toml").write_text("x\n")
    [first, second] = problems(MAIN)
    assert f"({more}/a.toml, line 1)" in first
    assert f"({more}/b.toml, line 1)" in second


def test_a_file_that_two_patterns_name_is_read_once(more: Path, load: Load) -> None:
    (more / "a.toml").write_text('[agents.other]\nurl = "http://other"\n')
    settings = load('include = ["more/*.toml", "more/a.toml", "*.toml"]\n' + IN_ORDER)
    assert len(settings.files) == 2


def test_files_that_editors_hide_are_left_out(more: Path, load: Load) -> None:
    (more / "a.toml").write_text('[agents.other]\nurl = "http://other"\n')
    (more / ".#b.toml").write_text("no toml")
    assert len(load(MAIN).files) == 2


def test_a_config_without_include_is_its_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("a = 1\n")
    document = Document.read(path)
    assert (document.tables, document.files) == ({"a": 1}, (path,))
    assert document.placed(Problem("a", "x")) == Problem("a", "x", 1)


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Document.read(tmp_path / "none.toml")
