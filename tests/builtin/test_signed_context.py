"""``signed_context``: what an agent can know of its caller, checked by a library that is not ours."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tomli_w
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from aiogate.errors import SettingsError
from aiogate.pipeline.load import load
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway
from tests.test_docs import ROOT, blocks

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def pem(key: ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@asynccontextmanager
async def signing(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[RunningGateway, FakeAgent]]:
    write(tmp_path / "context.pem", pem(ed25519.Ed25519PrivateKey.generate()))
    async with fake_agent() as agent:
        config = {
            "server": {"anonymous": True},
            "pipeline": {"plugins": ["signed_context"]},
            "plugins": {"signed_context": {"key_file": "context.pem", **settings}},
            "agents": {
                "echo": {"url": agent.url, "capabilities": ["chat"]},
                "other": {"url": agent.url, "capabilities": ["sql"]},
            },
        }
        async with running_gateway(config, tmp_path) as gateway:
            yield gateway, agent


async def asked(gateway: RunningGateway, path: str, **headers: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(gateway.url + path, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.text()


async def published(gateway: RunningGateway) -> KeySet:
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{gateway.url}/.well-known/jwks.json") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "application/jwk-set+json"
            return KeySet.import_key_set(await response.json(content_type=None))


def said(agent: FakeAgent, keys: KeySet) -> dict[str, Any]:
    context = agent.seen[-1].headers["X-Aiogate-Context"]
    return jwt.decode(context, keys, algorithms=["EdDSA"]).claims


async def test_each_agent_gets_a_context_of_its_own_whatever_the_client_says(tmp_path: Path) -> None:
    async with signing(tmp_path, lifetime_seconds=20) as (gateway, agent):
        keys = await published(gateway)
        for path, agent_id in (("/agents/echo", "echo"), ("/capabilities/sql", "other")):
            await asked(gateway, path, **{"X-Aiogate-Context": "forged"})
            claims = said(agent, keys)
            assert (claims["sub"], claims["aud"], claims["roles"]) == ("anonymous", agent_id, [])
            assert claims["exp"] - claims["iat"] == 20
            assert len(agent.seen[-1].headers.getall("X-Aiogate-Context")) == 1
            assert claims["jti"] == agent.seen[-1].headers["X-Request-Id"]


async def test_only_the_agents_that_are_named_get_one(tmp_path: Path) -> None:
    async with signing(tmp_path, agents=["other"]) as (gateway, agent):
        await asked(gateway, "/agents/echo")
        assert "X-Aiogate-Context" not in agent.seen[-1].headers
        await asked(gateway, "/agents/other")
        assert "X-Aiogate-Context" in agent.seen[-1].headers


async def test_a_rotation_leaves_nobody_without_a_key(tmp_path: Path) -> None:
    after = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "next.pem").write_bytes(
        after.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    async with signing(tmp_path, published_key_files=["next.pem"]) as (gateway, agent):
        before = await published(gateway)
        await asked(gateway, "/agents/echo")
        assert said(agent, before)["aud"] == "echo"
        shutil.copy(tmp_path / "context.pem", tmp_path / "next.pem")
        write(tmp_path / "context.pem", pem(after))
        assert (await gateway.gateway.reloads.reload("test")).successful
        await asked(gateway, "/agents/echo")
        assert said(agent, before)["aud"] == "echo"  # by the next key, which was published already
        assert {key.kid for key in await published(gateway)} == {key.kid for key in before}
        stranger = KeySet.import_key_set({"keys": [{**before.keys[0].as_dict(), "kid": before.keys[1].kid}]})
        with pytest.raises((BadSignatureError, ValueError)):
            said(agent, stranger)


async def test_without_the_plugin_there_is_nothing_to_read(tmp_path: Path) -> None:
    config = {"server": {"anonymous": True}, "agents": {"echo": {"url": "http://127.0.0.1:1"}}}
    async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as client:
        async with client.get(f"{gateway.url}/.well-known/jwks.json") as response:
            assert response.status == 404


async def test_the_documents_example_says_who_calls(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(blocks(ROOT / "docs" / "callers.md", "python")[0], "callers.md", "exec"), names)  # noqa: S102 - our own document
    caller: Callable[..., dict[str, Any]] = names["caller"]
    async with signing(tmp_path, issuer="replaced") as (gateway, agent):
        config = (tmp_path / "gateway.toml").read_text().replace("replaced", gateway.url)
        write(tmp_path / "gateway.toml", config.encode())
        assert (await gateway.gateway.reloads.reload("test")).successful
        await asked(gateway, "/agents/echo")
        context = agent.seen[-1].headers["X-Aiogate-Context"]
        assert (await asyncio.to_thread(caller, context, gateway.url, "echo"))["sub"] == "anonymous"
        with pytest.raises(Exception, match="aud"):
            await asyncio.to_thread(caller, context, gateway.url, "other")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read"),
        (b"nothing", "no private key in PEM without a password"),
        (pem(ed25519.Ed25519PrivateKey.generate(), b"secret"), "no private key in PEM without a password"),
        (pem(x25519.X25519PrivateKey.generate()), "openssl genpkey -algorithm ed25519"),
    ],
)
def test_a_key_that_cannot_sign_is_said_before_anything_starts(
    text: bytes | None, complaint: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "context.pem").write_bytes(text)
    config = {
        "server": {"anonymous": True},
        "pipeline": {"plugins": ["signed_context"]},
        "plugins": {"signed_context": {"key_file": "context.pem"}},
        "agents": {"echo": {"url": "http://127.0.0.1:1"}},
    }
    (tmp_path / "gateway.toml").write_text(tomli_w.dumps(config))
    with pytest.raises(SettingsError, match=complaint):
        load(tmp_path / "gateway.toml", {})
