"""``[state]``: where counters may be kept."""

import pytest

from tests.settings.conftest import IN_ORDER, Load, Refuse


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis://cache",
        "redis://cache:6380/3",
        "redis://gateway:s%3Acret@[::1]:6379",
        "rediss://:secret@cache/0?ssl_ca_certs=/etc/ssl/own.pem",
        "redis+sentinel://gateway:secret@one,two:26380,[::1]/mymaster/3?sentinel_user=a&sentinel_password=b",
        "rediss+sentinel://one/mymaster",
        "redis+cluster://one:7000,two:7000,three:7000",
        "rediss+cluster://gateway:secret@one/0?ssl_ca_certs=/etc/ssl/own.pem",
    ],
)
def test_counters_may_be_in_memory_or_in_redis(load: Load, url: str) -> None:
    assert load(f'{IN_ORDER}[state]\nurl = "{url}"\n').state.url.reveal() == url


@pytest.mark.parametrize(
    "url, why",
    [
        ("redis+sentinel://:hunter2@a,b", "expected in its path what the sentinels call the master"),
        ("redis+sentinel://:hunter2@a/master/zero", "expected in its path what the sentinels call the master"),
        ("redis+sentinel://:hunter2@a/master?sentinel_pasword=hunter2", "expected no 'sentinel_pasword' in its query"),
        ("redis+cluster://:hunter2@cache/3", "a cluster has one database"),
        ("redis+cluster://:hunter2@a,,b", "expected memory://, redis://"),
        ("redis://:hunter2@a,b", "expected one host"),
        ("rediss+proxy://:hunter2@cache", "expected memory://, redis://"),
        ("memcached://:hunter2@cache", "expected memory://, redis://"),
        ("redis:///0", "expected memory://"),
        ("redis://:hunter2@cache:port", "a host or a port is none"),
        ("redis://:hunter2@cache/zero", "expected in its path the number of a database"),
        ("redis://:hunter2@cache?ssl_ca_certs=x", "expected no 'ssl_ca_certs' in its query"),
        ("rediss://:hunter2@cache?ssl_cert_reqs=none", "expected no 'ssl_cert_reqs' in its query"),
        ("redis://:hunter2@cache#0", "expected memory://, redis://"),
    ],
)
def test_what_else_it_is_says_so_without_its_password(problems: Refuse, url: str, why: str) -> None:
    [problem] = problems(f'{IN_ORDER}[state]\nurl = "{url}"\n')
    assert problem.startswith("state.url: ")
    assert why in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("prefix", ["", "{a}", "a b", "x" * 65])
def test_a_prefix_can_begin_a_key_and_places_it_nowhere(problems: Refuse, prefix: str) -> None:
    [problem] = problems(f'{IN_ORDER}[state]\nprefix = "{prefix}"\n')
    assert problem.startswith("state.prefix: expected 1 to 64 letters")


def test_what_becomes_of_claims_without_redis_is_one_of_three(problems: Refuse) -> None:
    assert problems(f'{IN_ORDER}[state]\non_error = "ignore"\n')[0].startswith("state.on_error: ")
