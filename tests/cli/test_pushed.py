"""``aiogate config push`` and ``serve --state``: what is refused before any store is asked."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aiogate.cli import _aiogate

CONFIG = """\
[state]
url = "{url}"

[server]
anonymous = true

[agents.support]
url = "http://127.0.0.1:1"
headers = {{ Authorization = "{secret}" }}
"""
NOWHERE = "redis://127.0.0.1:1"


def run(*arguments: object, **env: str) -> Result:
    return CliRunner().invoke(_aiogate, list(map(str, arguments)), env=env)


def written(folder: Path, url: str = NOWHERE, header: str = "Bearer ${TOKEN}", more: str = "") -> Path:
    path = folder / "gateway.toml"
    path.write_text(more + CONFIG.format(url=url, secret=header))
    return path


@pytest.mark.parametrize("command", [["push"], ["history", "--config"], ["rollback", "--config"], ["diff", "--config"]])
def test_a_gateway_that_is_alone_has_no_store(command: list[str], tmp_path: Path) -> None:
    result = run("config", *command, written(tmp_path, "memory://"))
    assert result.exit_code == 1
    assert "with memory:// a gateway is alone: change its file, and call aiogate reload" in result.stderr


def test_all_that_is_wrong_is_said_before_the_store_is_asked(tmp_path: Path) -> None:
    path = written(tmp_path, header="hunter2", more="nonsense = 1\n")
    result = run("config", "push", path)
    assert result.exit_code == 78
    assert "agents.support.headers.Authorization: is a secret, which everybody could read" in result.stderr
    assert "nonsense: unknown key" in result.stderr
    assert "hunter2" not in result.output


def test_what_is_not_below_the_config_cannot_be_pushed(tmp_path: Path) -> None:
    (tmp_path / "outside.toml").write_text('[agents.other]\nurl = "http://127.0.0.1:1"\n')
    (tmp_path / "conf").mkdir()
    result = run("config", "push", written(tmp_path / "conf", more='include = ["../outside.toml"]\n'))
    assert result.exit_code == 78
    assert "outside.toml is not below" in result.stderr


def test_what_only_gateways_have_is_named_and_no_problem_and_a_store_that_is_away_is(tmp_path: Path) -> None:
    result = run("config", "push", written(tmp_path, more=""), TOKEN="")
    assert result.exit_code == 1
    assert "the store cannot be asked: Redis" in result.stderr
    result = run("config", "push", written(tmp_path, header="Bearer ${NO_SUCH_TOKEN}"))
    assert (
        "warning: agents.support.headers.Authorization: environment variable NO_SUCH_TOKEN is not set" in result.stderr
    )
    assert "every gateway needs it" in result.stderr
    assert "the store cannot be asked: Redis" in result.stderr


def test_a_password_is_not_taken_from_the_command_line(tmp_path: Path) -> None:
    path, url = written(tmp_path), "redis://:hunter2@127.0.0.1:1"
    for command in (["config", "push", path], ["serve"]):
        result = run(*command, "--state", url)
        assert result.exit_code == 2
        assert "a command line can be read by everybody" in result.stderr
        assert "hunter2" not in result.output
        assert "the store cannot be asked" in run(*command, AIOGATE_STATE=url).stderr
        named = run(*command, "--state", "redis://:${REDIS_PASSWORD}@127.0.0.1:1", REDIS_PASSWORD="hunter2")
        assert "the store cannot be asked" in named.stderr


def test_a_gateway_serves_a_file_or_a_store(tmp_path: Path) -> None:
    path = written(tmp_path)
    both = run("serve", path, "--state", NOWHERE)
    assert (both.exit_code, "serve the one or the other" in both.stderr) == (2, True)
    watched = run("serve", "--watch", "--state", NOWHERE)
    assert (watched.exit_code, "--watch is for files" in watched.stderr) == (2, True)
    alone = run("serve", "--state", "memory://")
    assert "with memory:// a gateway is alone" in alone.stderr
    named = run("serve", tmp_path / "no-such-file.toml", AIOGATE_STATE=NOWHERE)
    assert (named.exit_code, "no-such-file.toml" in named.stderr) == (78, True)


def test_help_shows_examples() -> None:
    for command in ("push", "history", "diff", "rollback"):
        said = run("config", command, "--help").stdout
        assert said.index(f"aiogate config {command}") < said.index("Options:")
