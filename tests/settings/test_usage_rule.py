"""What an agent's ``usage`` may be."""

import pytest

from aiogate import UsageRule
from aiogate.settings.show import in_force
from tests.settings.conftest import IN_ORDER, Load, Refuse


def of(load: Load, line: str) -> UsageRule:
    return load(f"{IN_ORDER}usage = {line}\n").agents["support"].usage


def wrong(problems: Refuse, line: str) -> list[str]:
    return [found.rpartition(" (line")[0] for found in problems(f"{IN_ORDER}usage = {line}\n")]


def test_without_a_word_an_agent_is_understood_by_what_it_says(load: Load) -> None:
    assert load(IN_ORDER).agents["support"].usage == UsageRule()


@pytest.mark.parametrize(
    "word", ["declared", "estimate", "openai", "anthropic", "gemini", "ollama", "a2a", "recognised"]
)
def test_a_word_says_where_an_agent_tells_its_usage(load: Load, word: str) -> None:
    assert of(load, f'"{word}"') == UsageRule(kind=word)


def test_pointers_say_where_the_figures_are(load: Load) -> None:
    rule = of(load, '{ input_tokens = "/meta/usage/in", output_tokens = "/a~1b/m~0n/0/", model = "/model" }')
    assert rule.kind == "pointers"
    assert dict(rule.pointers) == {
        "input_tokens": ("meta", "usage", "in"),
        "output_tokens": ("a/b", "m~n", "0", ""),
        "model": ("model",),
    }


@pytest.mark.parametrize("line", ['"declared"', '"recognised"', '{ input_tokens = "/a~1b/m~0n/0/" }'])
def test_it_is_shown_as_it_is_written(load: Load, line: str) -> None:
    settings = load(f"{IN_ORDER}usage = {line}\n")
    shown = in_force(settings)["agents"]["support"]["usage"]
    assert shown == ({"input_tokens": "/a~1b/m~0n/0/"} if line.startswith("{") else line.strip('"'))


@pytest.mark.parametrize(
    "line, message",
    [
        ('"declare"', "usage: expected one of 'recognised', 'declared', "),
        ("5", "usage: expected a word or a table of JSON pointers, got a number"),
        ("{}", "usage: expected a pointer for input_tokens, output_tokens or both"),
        ('{ model = "/m" }', "usage: expected a pointer for input_tokens, output_tokens or both"),
        ('{ input_token = "/m" }', "usage.input_token: unknown key; did you mean 'input_tokens'?"),
        ('{ input_tokens = "m" }', "usage.input_tokens: expected a JSON pointer such as '/meta/usage/in', got 'm'"),
        ('{ input_tokens = "/m~2" }', "usage.input_tokens: expected a JSON pointer such as"),
        ("{ input_tokens = 1 }", "usage.input_tokens: expected a JSON pointer such as"),
    ],
)
def test_anything_else_is_refused(problems: Refuse, line: str, message: str) -> None:
    [problem] = wrong(problems, line)
    assert problem.removeprefix("agents.support.").startswith(message)


def test_a_word_that_is_nearly_right_is_guessed(problems: Refuse) -> None:
    assert "(did you mean 'declared'?)" in wrong(problems, '"declare"')[0]
