"""Where a path stands in a TOML text."""

import tomllib

import pytest

from aiogate.settings.lines import Lines

TEXT = '''\
# listen = "in a comment"
title = "x = y"

[server]   # the listener
listen = "127.0.0.1:8080"
tls.cert."a=b.pem" = true
motd = """
[agents.none]
listen = "not here"
"""
list = [
    "a=b",
    ["c"],
    { d = 1 },
]
after = 1

[[plugins.keys.keys]]
id = "one"
[plugins.keys.keys.extra]
note = 1
[[plugins.keys.keys]]
  id = "two"
roles = ["a",
  "b"]
[ agents . "my agent.v2" ]
url = "http://a"
'''


@pytest.mark.parametrize(
    "path, line",
    [
        ("title", 2),
        ("server", 4),
        ("server.listen", 5),
        ("server.tls", 6),
        ('server.tls.cert."a=b.pem"', 6),
        ("server.list", 11),
        ("server.after", 16),
        ("plugins.keys", 18),
        ("plugins.keys.keys[0]", 18),
        ("plugins.keys.keys[0].id", 19),
        ("plugins.keys.keys[0].extra.note", 21),
        ("plugins.keys.keys[1]", 22),
        ("plugins.keys.keys[1].id", 23),
        ("plugins.keys.keys[1].roles", 24),
        ('agents."my agent.v2".url', 27),
    ],
)
def test_a_key_stands_where_it_is_written(path: str, line: int) -> None:
    assert tomllib.loads(TEXT)
    assert Lines.of(TEXT).line(path) == line


@pytest.mark.parametrize(
    "path, line",
    [
        ("server.listn", 4),
        ("server.list[3].d", 11),
        ("plugins.keys.keys[1].roles[1]", 24),
        ('agents."my agent.v2"."x y"', 26),
        ("journal.dir", None),
        ("agents.none.listen", 26),
    ],
)
def test_what_has_no_line_stands_where_what_holds_it_stands(path: str, line: int | None) -> None:
    assert Lines.of(TEXT).line(path) == line


def test_windows_line_ends_count_once() -> None:
    assert Lines.of(TEXT.replace("\n", "\r\n")).line("plugins.keys.keys[1].id") == 23


def test_a_long_array_does_not_take_long() -> None:
    text = "a = [\n" + '  { id = "x", hash = "y" },\n' * 5_000 + "]\nb = 1\n"
    assert Lines.of(text).line("b") == 5_003
