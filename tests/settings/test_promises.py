"""What a config asks for, somebody has to enforce."""

import pytest

from tests.settings.conftest import IN_ORDER, Load, Refuse


@pytest.mark.parametrize(
    "line, built_in",
    [
        ('required_role = "a"', "roles"),
        ('required_roles = ["a"]', "roles"),
        ('rate_limit = "1/s"', "limits"),
        ("concurrency = 1", "limits"),
    ],
)
def test_a_limit_that_nobody_enforces_is_refused(load: Load, problems: Refuse, line: str, built_in: str) -> None:
    assert load(f"{IN_ORDER}{line}\n")
    [problem] = problems(f"{IN_ORDER}{line}\n".replace(f', "{built_in}"', ""))
    key = line.partition(" ")[0]
    message = f'is set, but no plugin in pipeline.plugins enforces it: add "{built_in}"'
    assert problem == f"agents.support.{key}: {message} (line 6)"


@pytest.mark.parametrize("line", ["priority = 1", "weight = 5", 'group = "g"'])
def test_a_place_in_a_ranking_that_nobody_makes_is_refused(load: Load, problems: Refuse, line: str) -> None:
    assert load(f"{IN_ORDER}{line}\n".replace('"limits"', '"limits", "routing"'))
    [problem] = problems(f"{IN_ORDER}{line}\n")
    assert problem.startswith(f"agents.support.{line.partition(' ')[0]}: is set, but no plugin")
    assert problem.endswith('add "routing" (line 6)')


def test_a_gateway_that_knows_nobody_is_refused(problems: Refuse) -> None:
    [problem] = problems(IN_ORDER.replace('"keys", ', ""))
    message = 'no plugin authenticates callers; add "api_keys" or set server.anonymous = true'
    assert problem == f"pipeline.plugins: {message} (line 2)"


def test_a_gateway_for_everybody_says_so(load: Load) -> None:
    assert load("server.anonymous = true\n" + IN_ORDER.replace('"keys", ', "")).server.anonymous
