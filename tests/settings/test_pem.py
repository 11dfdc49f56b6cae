"""Certificate files of a config: used as they will be, and what is wrong is said with their path."""

from pathlib import Path

import pytest

from tests.certificates import Authority, Identity, locked
from tests.settings.conftest import HTTPS, Load, Refuse


@pytest.fixture
def ours(tmp_path: Path) -> Identity:
    return Authority(tmp_path).issue("gateway")


def told(problems: Refuse, **files: Path | str) -> list[str]:
    lines = "".join(f'{name} = "{path}"\n' for name, path in files.items())
    return [line.removeprefix("agents.support.").rpartition(" (line")[0] for line in problems(HTTPS + lines)]


def test_a_key_may_be_in_the_file_of_its_certificate(load: Load, ours: Identity) -> None:
    assert load(f'{HTTPS}client_certificate = "{ours.both}"\n').agents["support"].client_certificate == ours.both


@pytest.mark.parametrize("name", ["ca_file", "client_certificate"])
def test_a_file_that_is_not_there_is_named(problems: Refuse, tmp_path: Path, name: str) -> None:
    message = f"{name}: {tmp_path}/gone.pem cannot be read: No such file or directory"
    assert told(problems, **{name: "gone.pem"}) == [message]


def test_a_key_that_is_not_there_is_one_problem(problems: Refuse, ours: Identity, tmp_path: Path) -> None:
    found = told(problems, client_certificate=ours.certificate, client_key="gone.key")
    assert found == [f"client_key: {tmp_path}/gone.key cannot be read: No such file or directory"]


def test_a_folder_is_no_file(problems: Refuse, tmp_path: Path) -> None:
    assert told(problems, ca_file=tmp_path) == [f"ca_file: {tmp_path} cannot be read: Is a directory"]


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_certificates_trusts_nobody(problems: Refuse, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    assert told(problems, ca_file=file) == [f"ca_file: {file} holds no certificate in PEM"]


def test_a_certificate_is_no_key_and_a_key_is_no_certificate(problems: Refuse, ours: Identity) -> None:
    crt, key = ours.certificate, ours.key
    message = f"client_certificate: {crt} holds no private key in PEM"
    assert told(problems, client_certificate=crt, client_key=crt) == [message]
    assert told(problems, client_certificate=crt) == [f"{message}; name its file by client_key"]
    message = f"client_certificate: {key} holds no certificate in PEM"
    assert told(problems, client_certificate=key, client_key=key) == [message]


def test_somebody_elses_key_is_refused(problems: Refuse, ours: Identity, tmp_path: Path) -> None:
    other = Authority(tmp_path).issue("other").key
    message = f"client_certificate: the private key in {other} is not the certificate's"
    assert told(problems, client_certificate=ours.certificate, client_key=other) == [message]


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(problems: Refuse, ours: Identity) -> None:
    ours.key.write_bytes(locked(ours.key.read_bytes()))
    message = f"client_certificate: {ours.key} holds a private key with a password; store it without one"
    assert told(problems, client_certificate=ours.certificate, client_key=ours.key) == [message]


def test_a_broken_certificate_is_refused(problems: Refuse, ours: Identity) -> None:
    ours.certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    message = f"client_certificate: {ours.certificate} cannot be used as a certificate with its key"
    assert told(problems, client_certificate=ours.certificate, client_key=ours.key) == [message]
