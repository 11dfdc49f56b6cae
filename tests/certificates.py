"""Certificate files that a test makes for itself."""

import ssl
from pathlib import Path

import attrs
import trustme
from cryptography.hazmat.primitives import serialization


@attrs.frozen
class Identity:
    """A certificate, its key, and both in one file."""

    certificate: Path
    key: Path
    both: Path

    def server(self, *, clients: Path | None = None) -> ssl.SSLContext:
        """Return the context of a server that has this identity; ``clients`` need a certificate by that authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@attrs.define
class Authority:
    """Issues certificates into a folder of a test; ``file`` is its own."""

    folder: Path
    name: str = "ca"
    ca: trustme.CA = attrs.field(factory=trustme.CA)

    @property
    def file(self) -> Path:
        path = self.folder / f"{self.name}.pem"
        self.ca.cert_pem.write_to_path(path)
        return path

    def issue(self, *names: str, **facts: object) -> Identity:
        leaf = self.ca.issue_cert(*names, **facts)  # type: ignore[arg-type] # whatever trustme takes
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return self._written(f"{self.name}-{names[0]}", chain, leaf.private_key_pem.bytes())

    def self_signed(self) -> Identity:
        """Return the authority's own certificate, which nobody else has signed."""
        return self._written(f"{self.name}-self", self.ca.cert_pem.bytes(), self.ca.private_key_pem.bytes())

    def _written(self, name: str, certificate: bytes, key: bytes) -> Identity:
        files = {".crt": certificate, ".key": key, ".pem": key + certificate}
        for suffix, content in files.items():
            (self.folder / f"{name}{suffix}").write_bytes(content)
        return Identity(*(self.folder / f"{name}{suffix}" for suffix in files))


def locked(key: bytes) -> bytes:
    """Return a private key with a password."""
    plain = serialization.load_pem_private_key(key, None)
    return plain.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2"),
    )
