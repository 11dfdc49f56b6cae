"""Which plugins are enabled and what they are told."""

from decimal import Decimal
from pathlib import Path

from aiogate import Secret
from tests.settings.conftest import IN_ORDER, KeyEntry, KeysConfig, Load, Refuse


def with_plugins(*names: str) -> str:
    return IN_ORDER.replace('"limits"', ", ".join(f'"{name}"' for name in ("limits", *names)))


def test_a_plugin_gets_its_own_settings(load: Load, tmp_path: Path) -> None:
    config = load(IN_ORDER + '[[plugins.keys.keys]]\nid = "a"\nsecret = "s"\nusd = 0.10\n').plugins["keys"]
    entry = KeyEntry(id="a", secret=Secret("s"), usd=Decimal("0.10"))
    assert config == KeysConfig(keys=(entry,), file=tmp_path / "keys.txt")


def test_a_plugin_without_settings_is_enabled_all_the_same(load: Load) -> None:
    plugins = load(IN_ORDER).plugins
    assert list(plugins) == ["keys", "roles", "limits"]
    assert plugins["roles"] is None


def test_a_plugin_without_settings_takes_none(problems: Refuse) -> None:
    assert problems(IN_ORDER + "[plugins.roles]\nx = 1\n") == ["plugins.roles: this plugin takes no settings (line 6)"]


def test_what_a_plugin_needs_is_missed_without_a_section_too(problems: Refuse) -> None:
    assert problems(with_plugins("needy")) == ["plugins.needy.needed: is required"]


def test_a_plugin_that_is_not_there_is_a_problem(problems: Refuse) -> None:
    assert problems(with_plugins("nobody")) == ["pipeline.plugins[3]: plugin 'nobody': not installed (line 2)"]


def test_a_plugin_runs_once(problems: Refuse) -> None:
    assert problems(with_plugins("keys")) == ["pipeline.plugins[3]: plugin 'keys' is named twice (line 2)"]


def test_a_section_whose_plugin_would_be_off_is_a_problem(problems: Refuse) -> None:
    assert problems(IN_ORDER + "[plugins.limts]\n[plugins.needy]\n") == [
        "plugins.limts: is not in pipeline.plugins, so it would be off; did you mean 'limits'? (line 6)",
        "plugins.needy: is not in pipeline.plugins, so it would be off; add it there or take the section out (line 7)",
    ]


def test_a_section_is_told_apart_from_the_misspelled_name_of_its_plugin(problems: Refuse) -> None:
    assert problems(with_plugins("neddy") + "[plugins.needy]\n")[-1] == (
        "plugins.needy: is not in pipeline.plugins, so it would be off; is 'neddy' there meant to be it? (line 6)"
    )


def test_problems_of_a_plugins_settings_have_their_place(problems: Refuse) -> None:
    keys = '[[plugins.keys.keys]]\nid = "a"\nsecret = "s"\n[[plugins.keys.keys]]\nid = 3\nsecret = 12345\nusd = -1\n'
    assert problems(IN_ORDER + keys) == [
        "plugins.keys.keys[1].id: expected a string, got 3 (line 10)",
        "plugins.keys.keys[1].secret: expected a string (line 11)",
        "plugins.keys.keys[1].usd: expected 0 or more, got -1 (line 12)",
    ]


def test_whatever_a_plugins_settings_raise_is_one_problem(problems: Refuse) -> None:
    [problem] = problems(with_plugins("broken") + '[plugins.broken]\ntext = "oh"\n')
    assert problem == "plugins.broken: the plugin's Config failed: RuntimeError: oh (line 6)"
