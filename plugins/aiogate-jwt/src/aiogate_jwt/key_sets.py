"""The keys of one issuer: fetched, kept, fetched anew when an unknown one is asked for. Knows nothing of tokens."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp
import attrs
import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from aiogate import Clock
from aiogate_jwt.settings import Issuer, JwtConfig

__all__ = ["KeySet", "PublicKey"]

PublicKey = RSAKey | ECKey | OKPKey

_log: Final = logging.getLogger(__name__)
_MOST_BYTES: Final = 1024 * 1024
_MOST_KEYS: Final = 100
_DISCOVERY: Final = "/.well-known/openid-configuration"


class _NoKeysError(Exception):
    """A fetch has brought no keys; the text says why."""


@attrs.define(eq=False)
class KeySet:
    """One issuer's keys.

    Args:
        version: goes up when the keys change.
        failure: why the last fetch brought nothing.
    """

    _name: str
    _issuer: Issuer
    _config: JwtConfig
    _client: aiohttp.ClientSession
    _clock: Clock
    version: int = 0
    failure: str | None = None
    _raw: list[Any] = attrs.field(factory=list)
    _keys: Mapping[str | None, list[PublicKey]] = attrs.field(factory=dict)
    _tried: float | None = None
    _good: float | None = None
    _fetching: asyncio.Task[None] | None = None

    @property
    def are_good(self) -> bool:
        """Whether there are keys that still count: fetched, and not longer ago than ``keep_seconds``."""
        good = self._good
        return (
            good is not None
            and self._clock.monotonic() - good <= self._config.refresh_seconds + self._config.keep_seconds
        )

    def find(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        """Return the keys that may have signed: those of this ``kid``, or all, where the token names none."""
        if not self.are_good:
            return []
        named = self._keys.get(kid, []) if kid is not None else [key for keys in self._keys.values() for key in keys]
        return [key for key in named if key.alg in {None, algorithm}]

    async def renew(self) -> None:
        """Fetch the keys, unless that was done just now; those who ask meanwhile wait for the same fetch."""
        if self._fetching is None:
            now = self._clock.monotonic()
            if self._tried is not None and now - self._tried < self._config.cooldown_seconds:
                return
            self._tried = now
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
        await asyncio.shield(self._fetching)

    def adopt(self, before: "KeySet") -> None:
        """Go on with the keys that were fetched before, where none were fetched yet."""
        if self._good is None and before.are_good and before._issuer.jwks_url == self._issuer.jwks_url:  # noqa: SLF001 - its own kind
            self._raw, self._keys, self._good = before._raw, before._keys, before._good  # noqa: SLF001 - as above
            self.version += 1

    async def keep_current(self) -> None:
        """Fetch the keys again and again, until cancelled."""
        try:
            while True:
                await self.renew()
                pause = self._config.refresh_seconds if self.failure is None else self._config.cooldown_seconds
                await asyncio.sleep(pause)
        finally:
            if self._fetching is not None:
                self._fetching.cancel()
                with suppress(asyncio.CancelledError):
                    await self._fetching

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._config.fetch_seconds):
                raw = await self._key_set()
        except TimeoutError:
            self._failed(f"no answer within {self._config.fetch_seconds:g} s")
        except (_NoKeysError, aiohttp.ClientError, OSError) as error:
            self._failed(str(error) or type(error).__name__)
        else:
            self.failure, self._good = None, self._clock.monotonic()
            if raw != self._raw:
                self._raw, self.version = raw, self.version + 1
                self._keys = _by_kid(raw)
                _log.info("issuer %s has %d keys", self._name, sum(map(len, self._keys.values())))
        finally:
            self._fetching = None

    def _failed(self, why: str) -> None:
        self.failure = why
        held = "its old keys stay good for now" if self.are_good else "its tokens are refused"
        _log.warning("the keys of issuer %s cannot be fetched, %s: %s", self._name, held, why)

    async def _key_set(self) -> list[Any]:
        url = self._issuer.jwks_url
        if url is None:
            found = await self._get(self._issuer.issuer.rstrip("/") + _DISCOVERY)
            if found.get("issuer") != self._issuer.issuer:
                msg = "the discovery document is another issuer's"
                raise _NoKeysError(msg)
            url = found.get("jwks_uri")
            scheme = self._issuer.issuer.partition(":")[0]
            if not isinstance(url, str) or not url.startswith((f"{scheme}://", "https://")):
                msg = "the discovery document names no jwks_uri that may be asked"
                raise _NoKeysError(msg)
        keys = (await self._get(url)).get("keys")
        if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
            msg = f"the key set is no list of at most {_MOST_KEYS} keys"
            raise _NoKeysError(msg)
        if not any(_usable(keys)):
            msg = "the key set holds no key that a signature can be checked with"
            raise _NoKeysError(msg)
        return keys

    async def _get(self, url: str) -> Mapping[str, Any]:
        async with self._client.get(url, headers={"Accept": "application/json"}, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004 - HTTP's word for yes
                msg = f"{url} answers {response.status}"
                raise _NoKeysError(msg)
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    msg = f"{url} answers with more than {_MOST_BYTES} bytes"
                    raise _NoKeysError(msg)
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            msg = f"{url} answers with no JSON"
            raise _NoKeysError(msg) from error
        if not isinstance(said, dict):
            msg = f"{url} answers with no JSON object"
            raise _NoKeysError(msg)
        return said


def _usable(raw: Iterable[Any]) -> Iterable[PublicKey]:
    """Return the keys that check signatures; what is not understood is passed over (RFC 7517, section 5)."""
    for each in raw:
        if not isinstance(each, dict) or each.get("use") not in {None, "sig"}:
            continue
        try:
            key = JWKRegistry.import_key(each)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            yield key


def _by_kid(raw: Iterable[Any]) -> Mapping[str | None, list[PublicKey]]:
    found: dict[str | None, list[PublicKey]] = {}
    for key in _usable(raw):
        found.setdefault(key.kid, []).append(key)
    return found
