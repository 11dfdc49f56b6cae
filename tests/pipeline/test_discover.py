"""Entry points to classes: only what is asked for is imported, and what does not load says why."""

import sys
from pathlib import Path

import pytest

from aiogate.errors import PluginError
from aiogate.pipeline.discover import InstalledPlugins

BROKEN = "[aiogate]\nbroken = broken_plugin:Gone\nnoclass = broken_plugin:value\n"


@pytest.fixture
def broken_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "broken_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(BROKEN)
    (tmp_path / "broken_plugin.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_the_built_ins_come_in_by_the_same_door() -> None:
    reports = {report.name: report for report in InstalledPlugins().reports()}
    for name in ("api_keys", "cost", "demo", "limits", "roles"):
        assert reports[name].error is None
        assert reports[name].distribution == "aiogate"
    assert reports["api_keys"].hooks == ("lifespan", "pre_request")
    assert reports["api_keys"].enforces == ("principal",)


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(PluginError, match=r"not installed; did you mean 'api_keys'\?"):
        InstalledPlugins().describe("api_key")


@pytest.mark.usefixtures("broken_distribution")
def test_a_plugin_that_does_not_import_is_refused_with_its_distribution() -> None:
    installed = InstalledPlugins()
    with pytest.raises(PluginError, match=r"broken_plugin:Gone \(from broken-plugin\) does not import: AttributeError"):
        installed.describe("broken")
    with pytest.raises(PluginError, match="is no class"):
        installed.describe("noclass")
    assert {report.name for report in installed.reports() if report.error} >= {"broken", "noclass"}


@pytest.mark.usefixtures("broken_distribution")
def test_installed_is_not_enabled() -> None:
    sys.modules.pop("broken_plugin", None)
    InstalledPlugins().describe("roles")
    assert "broken_plugin" not in sys.modules
