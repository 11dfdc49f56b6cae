"""``aiogate config show``: what is in force, without a secret."""

import tomllib
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from aiogate.cli import _aiogate

CONFIG = """\
[pipeline]
plugins = ["api_keys", "cost"]

[agents.support]
url = "http://support-agent:8001"
headers = { Authorization = "Bearer ${TOKEN}" }

[[plugins.cost.price]]
model = "gpt-4o-mini"
input_usd_per_million = 0.10
output_usd_per_million = 1
"""


def show(*args: object) -> Result:
    return CliRunner().invoke(_aiogate, ["config", "show", *map(str, args)], env={"TOKEN": "hunter2"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    return path


def test_the_config_in_force_is_toml_with_its_defaults(file: Path) -> None:
    shown = tomllib.loads(show(file).stdout)
    assert shown["server"]["listen"] == "127.0.0.1:8080"
    assert shown["plugins"]["cost"]["price"][0]["model"] == "gpt-4o-mini"


def test_the_config_in_force_is_json_too(file: Path) -> None:
    shown = orjson.loads(show(file, "--json").stdout)
    assert shown["pipeline"]["plugins"] == ["api_keys", "cost"]
    assert shown["plugins"]["cost"]["price"][0]["input_usd_per_million"] == 0.1


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_secrets_are_not_shown(file: Path, form: tuple[str, ...]) -> None:
    output = show(file, *form).output
    assert "***" in output
    assert "hunter2" not in output


def test_a_config_with_problems_is_not_shown(file: Path) -> None:
    file.write_text(CONFIG + "x = 1\n")
    result = show(file)
    assert (result.exit_code, result.stdout) == (78, "")
    assert "plugins.cost.price[0].x: unknown key" in result.stderr
