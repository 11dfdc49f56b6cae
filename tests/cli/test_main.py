"""The command line's frame: commands that load when they are called, and a border that turns errors into exit codes."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner, Result

from aiogate import __version__
from aiogate.cli import _COMMANDS, _aiogate
from aiogate.errors import Problem, SettingsError, StateError

HEAVY = ("aiohttp", "cattrs", "redis", "uvloop", "prometheus_client", "asyncio", "aiogate.settings", "aiogate.pipeline")


@click.command()
@click.argument("what")
def raises(what: str) -> None:
    """Raise what is asked for."""
    problems = [Problem("a.b", "is wrong", 3), Problem("c", "too")]
    errors: dict[str, BaseException] = {
        "config": SettingsError("x.toml", problems),
        "state": StateError("the state\nis gone"),
        "interrupt": KeyboardInterrupt(),
    }
    raise errors[what]


def run(*args: str) -> Result:
    return CliRunner().invoke(_aiogate, args)


@pytest.fixture
def _with_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_COMMANDS, "raises", (f"{__name__}:raises", "Raise."))


def test_help_begins_with_an_example_and_lists_every_command() -> None:
    result = run("--help")
    assert result.output.index("aiogate serve conf/gateway.toml") < result.output.index("Options:")
    assert all(f"\n  {name} " in result.output for name in ("serve", "check", "config", "plugins", "keys", "journal"))


def test_help_imports_nothing_that_serves() -> None:
    program = "import sys, atexit; atexit.register(lambda: print(*sys.modules)); from aiogate.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, check=True, text=True)
    assert not set(done.stdout.split()).intersection(HEAVY)


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_help_of_every_command_begins_with_an_example(name: str) -> None:
    command = _aiogate.get_command(click.Context(_aiogate), name)
    assert command is not None
    paths = [[name]]
    if isinstance(command, click.Group):
        paths += [[name, subcommand] for subcommand in command.commands]
    for path in paths:
        output = run(*path, "--help").output
        assert f"aiogate {name}" in output.partition("\n")[2].partition("Options:")[0], path


def test_the_version_is_the_packages() -> None:
    assert run("--version").output == f"aiogate, version {__version__}\n"


def test_an_unknown_command_is_a_wrong_call() -> None:
    result = run("chek")
    assert result.exit_code == 2
    assert "chek" in result.stderr


@pytest.mark.usefixtures("_with_raises")
def test_every_problem_of_a_config_goes_to_stderr_and_exits_78() -> None:
    result = run("raises", "config")
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr == "aiogate: x.toml: 2 problems\n  a.b: is wrong (line 3)\n  c: too\n"


@pytest.mark.usefixtures("_with_raises")
def test_another_error_is_one_line_and_exits_1() -> None:
    result = run("raises", "state")
    assert (result.exit_code, result.stderr) == (1, "aiogate: the state is gone\n")


@pytest.mark.usefixtures("_with_raises")
def test_ctrl_c_exits_130_without_a_word() -> None:
    result = run("raises", "interrupt")
    assert (result.exit_code, result.output) == (130, "")


def test_a_reader_that_has_gone_is_no_error() -> None:
    command = [sys.executable, "-c", "from aiogate.cli import main; main()", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


SILENT = {"serve", "schema", "completion", "usage export"}
"""Commands that print what is for programs anyway, or nothing."""


def commands(name: str, command: click.Command) -> dict[str, click.Command]:
    """Return what can be called of a command, each by its words."""
    if not isinstance(command, click.Group):
        return {name: command}
    below = {f"{name} {word}": one for word, one in command.commands.items()}
    return below | ({name: command} if command.invoke_without_command else {})


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_speaks_json_and_who_asks_a_gateway_can_say_where_and_prove_it(name: str) -> None:
    found = _aiogate.get_command(click.Context(_aiogate), name)
    assert found is not None
    for words, command in commands(name, found).items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options or words in SILENT, words
        assert ("--url" in options) == ("--token-file" in options), words
        assert "--admin" not in options or "--url" in options, words
        assert not options & {"--token", "--password"}, words
