"""What a config may not hold itself when it is given to others."""

import tomllib

import pytest

from aiogate.settings.plain_secrets import plain_secrets


@pytest.mark.parametrize(
    "text, path",
    [
        ('[agents.a]\nheaders = { Authorization = "Bearer hunter2" }', "agents.a.headers.Authorization"),
        ('[state]\nurl = "redis://:hunter2@host"', "state.url"),
        ('[plugins.api_keys]\npepper = "hunter2"', "plugins.api_keys.pepper"),
        ('[[plugins.x.y]]\napi_key = "hunter2"', "plugins.x.y[0].api_key"),
        ('[admin]\ntoken = "$${hunter2}"', "admin.token"),
    ],
)
def test_a_secret_in_plain_is_named_and_not_quoted(text: str, path: str) -> None:
    [problem] = plain_secrets(tomllib.loads(text))
    assert problem.path == path
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    "text",
    [
        '[agents.a]\nheaders = { Authorization = "Bearer ${TOKEN}", X-Env = "prod" }',
        '[state]\nurl = "redis://:${PASSWORD}@host"',
        '[state]\nurl = "redis://user@host:6379/0"',
        '[admin]\ntoken_sha256 = "9f86d0"\ntoken = "${file:/run/secrets/token}"',
        '[[plugins.api_keys.keys]]\nsha256 = "9f86d0"\nhmac_sha256 = "9f"',
    ],
)
def test_references_and_hashes_are_no_secrets(text: str) -> None:
    assert list(plain_secrets(tomllib.loads(text))) == []
