"""Who gets in by a token, in a real gateway, with an issuer that answers on a real socket."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import tomli_w
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64encode

from aiogate import AiogateError
from aiogate.errors import SettingsError
from aiogate.exchange import Clock
from aiogate.pipeline.load import load
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway

AUDIENCE = "aiogate"
API_KEY = "agk_test_" + "0" * 64


NOW = 1_800_000_000.0


@attrs.define
class Hand:
    """Moves the gateway's clocks."""

    ahead: float = 0.0

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: time.monotonic() + self.ahead, wall=lambda: NOW + self.ahead)


@attrs.define
class FakeIssuer:
    """An OpenID provider; ``keys`` is what it publishes."""

    url: str = ""
    keys: list[Any] = attrs.field(factory=list)
    fetches: int = 0
    broken: bool = False
    held: asyncio.Event = attrs.field(factory=asyncio.Event)

    def token(self, key: Any, algorithm: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 300, "iat": NOW} | claims
        said = {name: value for name, value in said.items() if value is not None}
        kid = {"kid": key.kid} if key.kid else {}
        return jwt.encode({"alg": algorithm, **kid, **(header or {})}, said, key, algorithms=[algorithm])


@asynccontextmanager
async def fake_issuer(*keys: Any) -> AsyncIterator[FakeIssuer]:
    issuer = FakeIssuer(keys=[key.as_dict(private=False) for key in keys])
    issuer.held.set()

    async def discovery(_request: web.Request) -> web.Response:
        return web.json_response({"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"})

    async def published(_request: web.Request) -> web.Response:
        issuer.fetches += 1
        await issuer.held.wait()
        return web.json_response({"keys": issuer.keys}, status=500 if issuer.broken else 200)

    app = web.Application()
    app.add_routes([web.get("/.well-known/openid-configuration", discovery), web.get("/keys", published)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield issuer
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "first"})


@pytest.fixture(scope="module")
def stranger() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "first"})


@asynccontextmanager
async def gateway_with(
    issuer: FakeIssuer,
    tmp_path: Path,
    hand: Hand | None = None,
    plugins: tuple[str, ...] = ("jwt", "roles"),
    **settings: Any,
) -> AsyncIterator[tuple[RunningGateway, FakeAgent]]:
    async with fake_agent() as agent:
        others = settings.pop("more", {})
        more = {name: settings.pop(name) for name in ("refresh_seconds", "cooldown_seconds") if name in settings}
        config = {
            "server": {"anonymous": settings.pop("anonymous", False)},
            "pipeline": {"plugins": list(plugins)},
            "plugins": {
                "jwt": {"issuers": {"corp": {"issuer": issuer.url, "audience": [AUDIENCE], **settings}}, **more},
                **others,
            },
            "agents": {"echo": {"url": agent.url, "required_role": "analyst"}},
        }
        if "api_keys" in plugins:
            digest = hashlib.sha256(API_KEY.encode()).hexdigest()
            keys = [{"id": "test", "sha256": digest, "principal": "bob", "roles": ["analyst"]}]
            config["plugins"]["api_keys"] = {"keys": keys}
        async with running_gateway(config, tmp_path, clock=(hand or Hand()).clock()) as gateway:
            yield gateway, agent


async def call(gateway: RunningGateway, token: str, **headers: str) -> tuple[int, dict[str, Any], str]:
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{gateway.url}/agents/echo/x", headers=sent | headers) as response:
            return response.status, await response.json(content_type=None), response.headers.get("WWW-Authenticate", "")


def seen_headers(agent: FakeAgent) -> Any:
    return agent.seen[-1].headers


async def test_a_good_token_says_who_calls_and_stays_in_the_gateway(key: RSAKey, tmp_path: Path) -> None:
    async with fake_issuer(key) as issuer:
        async with gateway_with(
            issuer, tmp_path, roles="realm.groups", role_map={"grp-7": ("analyst",)}, department="dept"
        ) as (gateway, agent):
            token = issuer.token(key, realm={"groups": ["grp-7", "grp-8"]}, dept="data")
            assert (await call(gateway, token))[0] == 200
            assert "Authorization" not in seen_headers(agent)
            assert (await call(gateway, issuer.token(key, realm={"groups": ["grp-8"]})))[0] == 403
        first = gateway.records()[0]
        assert (first["principal"], first["department"], first["key_id"]) == ("alice", "data", "jwt-corp")


async def test_the_agent_gets_the_token_where_the_config_says_so(key: RSAKey, tmp_path: Path) -> None:
    async with fake_issuer(key) as issuer:
        async with gateway_with(issuer, tmp_path, forward=True, default_roles=("analyst",)) as (gateway, agent):
            token = issuer.token(key)
            assert (await call(gateway, token))[0] == 200
            assert seen_headers(agent)["Authorization"] == f"Bearer {token}"


BAD = {
    "expired": {"exp": NOW - 31},
    "not yet": {"nbf": NOW + 31},
    "of the future": {"iat": NOW + 31},
    "endless": {"exp": None},
    "end that is no time": {"exp": True},
    "other audience": {"aud": "other"},
    "no audience": {"aud": None},
    "odd audience": {"aud": {"aiogate": 1}},
    "nobody": {"sub": None},
    "numbered": {"sub": 7},
    "other tenant": {"hd": "example.com"},
}


@pytest.mark.parametrize("claims", BAD.values(), ids=BAD.keys())
async def test_claims_that_do_not_hold_are_refused(claims: dict[str, Any], key: RSAKey, tmp_path: Path) -> None:
    async with fake_issuer(key) as issuer:
        settings = {"default_roles": ("analyst",), "required_claims": {"hd": "example.org"}}
        async with gateway_with(issuer, tmp_path, **settings) as (gateway, agent):
            assert (await call(gateway, issuer.token(key, hd="example.org")))[0] == 200
            status, problem, challenge = await call(gateway, issuer.token(key, **{"hd": "example.org", **claims}))
            assert (status, problem["code"], len(agent.seen)) == (401, "unauthenticated", 1)
            assert challenge.startswith('Bearer realm="aiogate", error="invalid_token", error_description="')


def signed_with_the_public_key(body: str, key: RSAKey) -> str:
    """Return a token that is good for whoever takes a public key for a shared secret."""
    signed = urlsafe_b64encode(b'{"alg":"HS256","kid":"first"}') + b"." + body.encode()
    signature = hmac.digest(key.as_pem(private=False), signed, "sha256")
    return (signed + b"." + urlsafe_b64encode(signature)).decode()


async def test_signatures_that_do_not_count_are_refused(key: RSAKey, stranger: RSAKey, tmp_path: Path) -> None:
    async with fake_issuer(key) as issuer:
        async with gateway_with(issuer, tmp_path, default_roles=("analyst",)) as (gateway, agent):
            good = issuer.token(key)
            head, body, signature = good.split(".")
            forged = [
                issuer.token(stranger),
                f"{head}.{body}.{signature[:-8]}AAAAAAAA",
                f"{head}.{body}.",
                signed_with_the_public_key(body, key),
                issuer.token(key, "PS256"),
                issuer.token(key, header={"typ": "logout+jwt"}),
                issuer.token(key, header={"kid": "second"}),
                f"eyJhbGciOiJub25lIn0.{body}.",
            ]
            for token in forged:
                assert (await call(gateway, token))[0] == 401, token
            assert agent.seen == []
            assert (await call(gateway, good))[0] == 200


async def test_a_remembered_token_ends_at_its_time(key: RSAKey, tmp_path: Path) -> None:
    hand = Hand()
    async with fake_issuer(key) as issuer:
        async with gateway_with(issuer, tmp_path, hand, default_roles=("analyst",)) as (gateway, _):
            token = issuer.token(key)
            for ahead, status in ((0.0, 200), (329.0, 200), (331.0, 401)):
                hand.ahead = ahead
                assert (await call(gateway, token))[0] == status


async def test_a_rotated_key_is_fetched_once_and_the_old_one_counts_no_more(key: RSAKey, tmp_path: Path) -> None:
    hand, second = Hand(), ECKey.generate_key("P-256", {"kid": "second"})
    async with fake_issuer(key) as issuer:
        async with gateway_with(issuer, tmp_path, hand, default_roles=("analyst",)) as (gateway, _):
            old, new = issuer.token(key), issuer.token(second, "ES256")
            assert [(await call(gateway, token))[0] for token in (old, new)] == [200, 401]
            issuer.keys = [second.as_dict(private=False)]
            assert ((await call(gateway, new))[0], issuer.fetches) == (401, 1)  # too soon after the first fetch
            hand.ahead = 11.0
            statuses = await asyncio.gather(*(call(gateway, new) for _ in range(20)))
            assert {status for status, _, _ in statuses} == {200}
            assert issuer.fetches == 2
            assert (await call(gateway, old))[0] == 401


async def test_an_issuer_that_is_away_is_no_refusal_and_its_keys_stay_good(key: RSAKey, tmp_path: Path) -> None:
    hand = Hand()
    async with fake_issuer(key) as issuer:
        issuer.broken = True
        async with gateway_with(issuer, tmp_path, hand, default_roles=("analyst",)) as (gateway, _):
            status, problem, _ = await call(gateway, issuer.token(key))
            assert (status, problem["code"]) == (503, "issuer_unavailable")
            issuer.broken, hand.ahead = False, 11.0
            assert (await call(gateway, issuer.token(key)))[0] == 200
            issuer.broken, hand.ahead = True, 7200.0
            assert (await call(gateway, issuer.token(key, exp=NOW + 9000)))[0] == 200
            assert (await gateway.gateway.reloads.reload("test")).successful
            assert (await call(gateway, issuer.token(key, exp=NOW + 9001)))[0] == 200
            hand.ahead = 90_000.0
            assert (await call(gateway, issuer.token(key, exp=NOW + 99_000)))[0] == 503


async def test_tokens_and_api_keys_live_in_one_pipeline(key: RSAKey, tmp_path: Path) -> None:
    async with fake_issuer(key) as issuer:
        plugins = ("jwt", "api_keys", "roles")
        async with gateway_with(issuer, tmp_path, plugins=plugins, default_roles=("analyst",)) as (gateway, agent):
            token, foreign = issuer.token(key), issuer.token(key, iss="https://elsewhere.example")
            assert (await call(gateway, token))[0] == 200
            assert (await call(gateway, API_KEY))[0] == 200
            assert (await call(gateway, ""))[0] == 401
            assert (await call(gateway, foreign))[0] == 401
            assert (await call(gateway, token, **{"X-API-Key": API_KEY}))[0] == 401  # two callers at once
            assert (await call(gateway, foreign, **{"X-API-Key": API_KEY}))[0] == 200
            assert seen_headers(agent)["Authorization"] == f"Bearer {foreign}"  # it is the agent's
        served = [record["principal"] for record in gateway.records() if record["status"] == 200]
        assert served == ["alice", "bob", "bob"]


async def test_who_may_be_anonymous_is_known_by_a_token_all_the_same(key: RSAKey, tmp_path: Path) -> None:
    async with fake_issuer(key) as issuer:
        async with gateway_with(issuer, tmp_path, anonymous=True, default_roles=("analyst",)) as (gateway, _):
            assert (await call(gateway, issuer.token(key)))[0] == 200
            assert (await call(gateway, issuer.token(key, aud="other")))[0] == 401
            assert (await call(gateway, ""))[0] == 403  # without the agent's role
            said = [(record["principal"], record["status"]) for record in gateway.records()]
        assert said == [("alice", 200), ("anonymous", 401), ("anonymous", 403)]


async def test_a_token_beside_another_credential_is_refused_and_goes_nowhere(key: RSAKey, tmp_path: Path) -> None:
    """Neither a second header nor a plugin that knows the caller already carries it past the check to the agent."""
    plugins = ("tickets", "jwt", "roles")
    more = {"tickets": {"secret": "s" * 32}}
    async with fake_issuer(key) as issuer:
        async with gateway_with(
            issuer, tmp_path, plugins=plugins, more=more, anonymous=True, default_roles=("analyst",)
        ) as (gateway, agent):
            token = issuer.token(key)
            async with aiohttp.ClientSession() as client:
                for headers in (
                    [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")],
                    [("Authorization", "Basic eDp5"), ("Authorization", f"bearer {token}")],
                ):
                    async with client.get(f"{gateway.url}/agents/echo/x", headers=headers) as response:
                        assert response.status == 401
                bearer = {"Authorization": f"Bearer {token}"}
                async with client.post(
                    f"{gateway.url}/tickets", json={"path": "/agents/echo/x"}, headers=bearer
                ) as got:
                    url = gateway.url + (await got.json())["url"]
                async with client.get(url, headers=bearer) as response:
                    assert response.status == 401
                assert not agent.seen
                async with client.get(url) as response:
                    assert response.status == 200


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"audience": ()}, "audience"),
        ({"jwks_url": "http://login.example.org/keys"}, "expected an https:// address"),
        ({"issuer": "accounts"}, "so jwks_url is needed"),
        ({"role_map": {"a": ("b",)}}, "role_map needs roles"),
        ({"algorithms": ("HS256",)}, "algorithms"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    issuer = {"issuer": "https://login.example.org", "audience": ["a"]} | settings
    path = tmp_path / "gateway.toml"
    path.write_text(
        tomli_w.dumps(
            {
                "pipeline": {"plugins": ["jwt"]},
                "plugins": {"jwt": {"issuers": {"corp": issuer}}},
                "agents": {"echo": {"url": "http://127.0.0.1:1"}},
            }
        )
    )
    with pytest.raises(SettingsError, match=complaint):
        load(path, {})


async def test_keys_that_refuse_first_are_a_mistake(key: RSAKey, tmp_path: Path) -> None:
    async with fake_issuer(key) as issuer:
        with pytest.raises(AiogateError, match=r"put jwt before it in pipeline\.plugins"):
            async with gateway_with(issuer, tmp_path, plugins=("api_keys", "jwt", "roles")):
                pass
