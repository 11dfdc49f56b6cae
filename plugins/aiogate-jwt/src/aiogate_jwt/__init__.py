"""Authenticates callers by JSON Web Token (RFC 7519), as OpenID providers issue them, next to API keys."""

from aiogate_jwt.plugin import Jwt
from aiogate_jwt.settings import Issuer, JwtConfig

__all__ = ["Issuer", "Jwt", "JwtConfig"]
