"""``aiogate schema``: for editors, for people, and written into a folder."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aiogate.cli import _aiogate
from aiogate.pipeline.discover import InstalledPlugins


def run(*args: object) -> Result:
    return CliRunner().invoke(_aiogate, ["schema", *map(str, args)])


def test_the_schema_is_json_with_a_section_for_every_installed_plugin() -> None:
    printed = json.loads(run().stdout)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert sorted(printed["properties"]["plugins"]["properties"]) == InstalledPlugins().names()


def test_the_reference_is_markdown() -> None:
    assert "| `listen` | address, such as" in run("--reference").stdout


def test_both_are_written_side_by_side(tmp_path: Path) -> None:
    result = run("--built-in", "--write", tmp_path)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "gateway.schema.json").read_text())["title"] == "aiogate"
    assert (tmp_path / "REFERENCE.md").read_text().startswith("# Configuration reference")


def test_a_plugin_that_does_not_load_is_named_and_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (broken / "entry_points.txt").write_text("[aiogate]\nbroken = no_such_module_at_all:Plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = run()
    assert "without the plugin 'broken'" in result.stderr
    assert "broken" not in json.loads(result.stdout)["properties"]["plugins"]["properties"]
