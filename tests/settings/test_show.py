"""What is in force, as a config would write it."""

import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest
import tomli_w

from aiogate import Secret
from aiogate.settings.show import in_force
from tests.certificates import Authority
from tests.settings.conftest import HTTPS, IN_ORDER, Load


def test_what_is_shown_reads_like_the_config_with_its_defaults(load: Load) -> None:
    shown = in_force(load(IN_ORDER + 'rate_limit = "100/minute"\nmax_body = "1KiB"\n'))
    assert shown["server"]["listen"] == "127.0.0.1:8080"
    assert shown["journal"] == {
        "dir": "var/journal",
        "fsync": "every second",
        "segment_bytes": 256 * 1024 * 1024,
        "compress": True,
        "on_journal_error": "refuse",
    }
    assert shown["agents"]["support"]["rate_limit"] == "100/minute"
    assert shown["agents"]["support"]["max_body"] == 1024
    assert "cost_center" not in shown["agents"]["support"]


def test_what_is_shown_is_toml(load: Load) -> None:
    shown = in_force(load(IN_ORDER + '[[plugins.keys.keys]]\nid = "a"\nsecret = "s"\nusd = 0.10\n'))
    assert "usd = 0.10 }" in tomli_w.dumps(shown)
    assert tomllib.loads(tomli_w.dumps(shown))["plugins"]["keys"]["keys"][0]["id"] == "a"


def test_certificate_files_are_shown_as_the_config_names_them(load: Load, tmp_path: Path) -> None:
    ours = Authority(tmp_path).issue("gateway")
    lines = f'client_certificate = "{ours.certificate.name}"\nclient_key = "{ours.key.name}"\n'
    shown = in_force(load(HTTPS + lines))["agents"]["support"]
    assert (shown["client_certificate"], shown["client_key"]) == (ours.certificate.name, ours.key.name)
    assert (shown["max_connections"], "idle_seconds" in shown) == (10_000, False)


def test_no_secret_is_shown(load: Load) -> None:
    config = IN_ORDER + 'headers.Authorization = "Bearer hunter2"\n[plugins.keys]\npassword = "hunter2"\n'
    shown = in_force(load(config + 'keys = [{ id = "a", secret = "hunter2" }]\n'))
    assert "hunter2" not in str(shown)
    assert shown["agents"]["support"]["headers"] == {"Authorization": "***"}
    assert shown["state"]["url"] == "memory://"


@pytest.mark.parametrize(
    "name, value, shown",
    [
        ("anything", Secret("hunter2"), "***"),
        ("token", "hunter2", "***"),
        ("db_password", "hunter2", "***"),
        ("X-Api-Key", "hunter2", "***"),
        ("hmac_sha256", "9f86d0", "***"),
        ("url", "postgres://me:hunter2@db/x", "postgres://***@db/x"),
        ("max_tokens", 100, 100),
        ("tokenizer", "plain", "plain"),
    ],
)
def test_what_looks_like_a_credential_is_not_shown(load: Load, name: str, value: Any, shown: object) -> None:
    settings = attrs.evolve(load(IN_ORDER), plugins={"x": {"deep": {name: value}}})
    assert in_force(settings)["plugins"]["x"]["deep"][name] == shown
