"""Contexts for TLS towards agents."""

import ssl
from pathlib import Path

import pytest

from aiogate.proxy.upstream.tls import Contexts, Tls
from tests.certificates import Authority, locked


def test_certificates_are_verified_and_old_versions_are_not_spoken() -> None:
    context = Contexts().make(Tls())
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_an_agents_own_authority_stands_in_place_of_the_systems(tmp_path: Path) -> None:
    [trusted] = Contexts().make(Tls(Authority(tmp_path).file)).get_ca_certs()
    assert "trustme" in str(trusted["subject"])


def test_a_context_is_made_once_until_it_is_made_anew() -> None:
    contexts = Contexts()
    assert contexts.get(Tls()) is None
    first = contexts.make(Tls())
    assert contexts.get(Tls()) is first
    assert contexts.make(Tls()) is contexts.get(Tls()) is not first


def test_a_file_that_is_gone_is_an_error_and_no_context(tmp_path: Path) -> None:
    contexts, tls = Contexts(), Tls(tmp_path / "gone.pem")
    with pytest.raises(OSError):
        contexts.make(tls)
    assert contexts.get(tls) is None


def test_a_key_with_a_password_is_an_error_and_no_question(tmp_path: Path) -> None:
    identity = Authority(tmp_path).issue("client")
    identity.key.write_bytes(locked(identity.key.read_bytes()))
    with pytest.raises(OSError):
        Contexts().make(Tls(None, identity.certificate, identity.key))
