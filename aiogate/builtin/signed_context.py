"""``signed_context``: tells the agent who calls, in a way that it can check: ``X-Aiogate-Context``.

A JWT (RFC 7519) of at most a minute, signed by the gateway with Ed25519 (RFC 8037), with the principal, its roles and
department, the agent that it is for and the request's id. Its public keys are at ``/.well-known/jwks.json`` (RFC 7517).
Signing takes 50 microseconds of the loop's time for each request that is sent. Needs ``aiogate[context]``.
"""

import base64
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import orjson
from multidict import istr

from aiogate import ANONYMOUS, Exchange, Reply, hookimpl

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["SignedContext", "SignedContextConfig"]

_HEADER: Final = istr("X-Aiogate-Context")
_LONGEST_SECONDS: Final = 60
_JWKS: Final = "/.well-known/jwks.json"


def _holds_a_key(_owner: object, _attribute: object, path: Path) -> None:
    try:
        _private(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise ValueError(msg) from error


def _hold_keys(_owner: object, _attribute: object, paths: tuple[Path, ...]) -> None:
    for path in paths:
        try:
            _public(path)
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror or error}"
            raise ValueError(msg) from error


@attrs.frozen(kw_only=True)
class SignedContextConfig:
    """``[plugins.signed_context]``.

    Args:
        key_file: the private key in PEM, as ``openssl genpkey -algorithm ed25519 -out context.pem`` makes it.
        published_key_files: further keys, public or private, that agents may still check with, or soon: on a rotation
            first the next key for longer than agents keep the set, then the last one for longer than a context lasts.
        issuer: what ``iss`` says.
        lifetime_seconds: for how long a context is good.
        agents: who gets it, by id; none: all.
    """

    key_file: Path = attrs.field(validator=_holds_a_key)
    published_key_files: tuple[Path, ...] = attrs.field(default=(), validator=_hold_keys)
    issuer: str = attrs.field(default="aiogate", validator=attrs.validators.min_len(1))
    lifetime_seconds: int = attrs.field(
        default=_LONGEST_SECONDS, validator=attrs.validators.and_(attrs.validators.ge(1), attrs.validators.le(60))
    )
    agents: frozenset[str] = frozenset()


class SignedContext:
    """Signs who calls, for the agent that is about to be called."""

    Config = SignedContextConfig

    def __init__(self, config: SignedContextConfig) -> None:
        """Read the keys."""
        self._config = config
        self._key = _private(config.key_file)
        current = _jwk(self._key.public_key())
        keys = {key["kid"]: key for key in (current, *(_jwk(_public(path)) for path in config.published_key_files))}
        self._keys = orjson.dumps({"keys": list(keys.values())}, option=orjson.OPT_APPEND_NEWLINE)
        self._head = _part({"alg": "EdDSA", "typ": "JWT", "kid": current["kid"]})

    @hookimpl
    def claims(self, exchange: Exchange) -> None:
        """Put the context into the request, anew for each agent that it may go to; takes nothing from any counter."""
        agent, only = exchange.agent, self._config.agents
        if agent is None or (only and agent.id not in only):
            exchange.request_headers.popall(_HEADER, None)
            return
        exchange.request_headers[_HEADER] = self._signed(exchange, agent.id)

    def documents(self) -> Mapping[str, Reply]:
        """Return what anybody may read: the keys to check with."""
        cached = (("Cache-Control", "public, max-age=300"),)
        return {_JWKS: Reply(body=self._keys, content_type="application/jwk-set+json", headers=cached)}

    def _signed(self, exchange: Exchange, agent_id: str) -> str:
        principal = exchange.principal or ANONYMOUS
        now = int(exchange.clock.wall())
        said: dict[str, Any] = {
            "iss": self._config.issuer,
            "sub": principal.id,
            "aud": agent_id,
            "iat": now,
            "exp": now + self._config.lifetime_seconds,
            "jti": exchange.id,
            "roles": sorted(principal.roles),
        }
        if principal.department is not None:
            said["department"] = principal.department
        signed = f"{self._head}.{_part(said)}"
        return f"{signed}.{_text(self._key.sign(signed.encode()))}"


def _private(path: Path) -> "Ed25519PrivateKey":
    _need_the_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        msg = f"{path} holds no private key in PEM without a password"
        raise ValueError(msg) from error
    if not isinstance(key, Ed25519PrivateKey):
        msg = f"{path} holds another kind of key; make one by: openssl genpkey -algorithm ed25519 -out {path.name}"
        raise ValueError(msg)  # noqa: TRY004 - what a config says, not a mistake of the code
    return key


def _public(path: Path) -> "Ed25519PublicKey":
    _need_the_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - as above

    text = path.read_bytes()
    if b"PRIVATE KEY-----" in text:
        return _private(path).public_key()
    with suppress(ValueError):
        key = load_pem_public_key(text)
        if isinstance(key, Ed25519PublicKey):
            return key
    msg = f"{path} holds no Ed25519 key in PEM"
    raise ValueError(msg)


def _need_the_library() -> None:
    if find_spec("cryptography") is None:
        msg = "signed_context needs the package cryptography: pip install 'aiogate[context]'"
        raise ValueError(msg)


def _jwk(key: "Ed25519PublicKey") -> dict[str, str]:
    """Return a key as others read it, named by its thumbprint (RFC 8037 section 2, RFC 7638)."""
    needed = {"crv": "Ed25519", "kty": "OKP", "x": _text(key.public_bytes_raw())}
    thumbprint = hashlib.sha256(orjson.dumps(needed, option=orjson.OPT_SORT_KEYS)).digest()
    return {**needed, "use": "sig", "alg": "EdDSA", "kid": _text(thumbprint)}


def _part(said: Mapping[str, Any]) -> str:
    return _text(orjson.dumps(said))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
