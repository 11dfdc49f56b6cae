"""The plugin: takes the token out of the request, checks it once, remembers it for as long as it is good."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import aiohttp
import attrs
from multidict import istr

from aiogate import ANONYMOUS, AiogateError, Clock, Exchange, Gateway, Principal, Refusal, hookimpl, refusal
from aiogate_jwt.claims import InvalidTokenError, check, is_over, principal_of
from aiogate_jwt.key_sets import KeySet
from aiogate_jwt.settings import JwtConfig
from aiogate_jwt.tokens import KeysMissingError, Token, read, verify

__all__ = ["Jwt"]

_AUTHORIZATION: Final = istr("Authorization")
_SCHEME: Final = "bearer "
_UNAVAILABLE: Final = Refusal(
    status=503,
    code="issuer_unavailable",
    title="Issuer unavailable",
    detail="the keys of the token's issuer cannot be fetched; ask again",
    retry_after_seconds=5.0,
)


@attrs.frozen
class _Checked:
    """A token that was found good, with the keys of that time."""

    name: str
    keys: int
    claims: Mapping[str, Any]
    principal: Principal


class Jwt:
    """Authenticates callers by the tokens of the issuers that the config names.

    A bearer token that is no JWT, or whose ``iss`` names nobody in the config, is left to the plugins after this one
    and to the agent. A stream that began with a good token goes on when the token's time is over.
    """

    Config = JwtConfig
    enforces = frozenset({"principal"})

    def __init__(self, config: JwtConfig) -> None:
        """Index the issuers by what ``iss`` says."""
        self._config = config
        self._names = {issuer.issuer: name for name, issuer in config.issuers.items()}
        self._key_sets: dict[str, KeySet] = {}
        self._good: dict[bytes, _Checked] = {}

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[object]:
        """Fetch the issuers' keys, and keep them current. A start does not fail where an issuer does not answer."""
        order = [name for name, plugin in gateway.plugins.items() if name == "api_keys" or plugin is self]
        if order[0] == "api_keys":
            msg = "api_keys refuses whoever has no key of its own: put jwt before it in pipeline.plugins"
            raise AiogateError(msg)
        return self._run(gateway.clock)

    def inherit(self, previous: "Jwt") -> None:
        """Go on with the keys of before where an issuer does not answer just now."""
        for name, keys in self._key_sets.items():
            before = previous._key_sets.get(name)  # noqa: SLF001 - its own kind
            if before is not None:
                keys.adopt(before)

    @hookimpl
    async def pre_request(self, exchange: Exchange) -> Refusal | None:
        """Say who calls, where the request holds a token of an issuer that is known; refuse one that is not good."""
        texts = _bearers(exchange)
        if not texts:
            return None
        if len(texts) > 1 or (exchange.principal is not None and exchange.principal is not ANONYMOUS):
            is_ours = any(self._issuer_of(read(text)) is not None for text in texts)
            return _refused("there are two callers at once") if is_ours else None
        [text] = texts
        try:
            checked = await self._recognise(text, exchange.clock.wall())
        except InvalidTokenError as error:
            return _refused(str(error))
        except KeysMissingError:
            return _UNAVAILABLE
        if checked is None:
            return None
        if not self._config.issuers[checked.name].forward:
            del exchange.request_headers[_AUTHORIZATION]
        exchange.principal = checked.principal
        return None

    @asynccontextmanager
    async def _run(self, clock: Clock) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
            for name, issuer in self._config.issuers.items():
                self._key_sets[name] = KeySet(name, issuer, self._config, client, clock)
            await asyncio.gather(*(keys.renew() for keys in self._key_sets.values()))
            tasks = [asyncio.create_task(keys.keep_current()) for keys in self._key_sets.values()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _recognise(self, text: str, now: float) -> _Checked | None:
        """Return the token as one that was found good; None: none of a known issuer's."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        known = self._good.get(digest)
        if known is not None:
            keys = self._key_sets[known.name]
            if keys.version == known.keys and keys.are_good:
                if is_over(known.claims, self._config.issuers[known.name], now):
                    del self._good[digest]
                    msg = "the token has expired"
                    raise InvalidTokenError(msg)
                return known
        token = read(text)
        name = self._issuer_of(token)
        if token is None or name is None:
            return None
        checked = await self._check(token, name, now)
        if self._config.cached_tokens:
            if len(self._good) >= self._config.cached_tokens:
                del self._good[next(iter(self._good))]
            self._good[digest] = checked
        return checked

    def _issuer_of(self, token: Token | None) -> str | None:
        return None if token is None else self._names.get(str(token.claims.get("iss")))

    async def _check(self, token: Token, name: str, now: float) -> _Checked:
        issuer, keys = self._config.issuers[name], self._key_sets[name]
        await verify(token, issuer, keys)
        check(token.claims, issuer, now)
        return _Checked(name, keys.version, token.claims, principal_of(token.claims, name, issuer))


def _bearers(exchange: Exchange) -> list[str]:
    """Return the bearer tokens; where one stands beside another ``Authorization``, ``""`` for that."""
    values = exchange.request_headers.getall(_AUTHORIZATION, ())
    texts = [value[len(_SCHEME) :].strip() if value[: len(_SCHEME)].lower() == _SCHEME else "" for value in values]
    return texts if any(texts) else []


def _refused(why: str) -> Refusal:
    """Return a refusal with the challenge of RFC 6750, section 3."""
    challenge = f'Bearer realm="aiogate", error="invalid_token", error_description="{why}"'.replace("'", "")
    return refusal("unauthenticated", why, headers=(("WWW-Authenticate", challenge),))
