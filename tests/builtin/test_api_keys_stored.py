"""``api_keys`` and the keys of a store: they are let in as the config's are, from memory, until they are revoked."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from multidict import CIMultiDict

from aiogate import AiogateError, Clock, Exchange, Gateway, Pepper, Refusal, Revocation, StoredKey
from aiogate.builtin.api_keys import ApiKeys, ApiKeysConfig, KeySettings
from aiogate.state.board import MemoryBoard
from tests.builtin.test_api_keys import counted
from tests.exchanges import an_exchange

SECONDS = 20
SECRET = b"salt"
KEY = "agk_k-alice_" + "5eed" * 16
NEXT = "agk_k-alice_" + "feed" * 16
OWN = "agk_own_" + "0bad" * 16
NOW = 1_000_000.0


@attrs.define
class Away:
    """A board that nobody has been able to read."""

    degraded: str | None = "Redis is away"
    _board: MemoryBoard = attrs.field(factory=MemoryBoard)

    def topic(self, name: str) -> Any:
        return self._board.topic(name)


@attrs.frozen
class Around:
    """What the plugin sees of a gateway."""

    board: Any


def stored(key: str = KEY, pepper: bytes = SECRET, **facts: Any) -> StoredKey:
    known = {"id": "k-alice", "principal": "alice", "created": 0.0, "pepper_id": Pepper.id_of(pepper), **facts}
    return StoredKey(digest=StoredKey.digest_of(key, pepper).hex(), **known)


def plugin(folder: Path, *own: str, pepper: bytes | None = SECRET, store: bool = True) -> ApiKeys:
    file = folder / "pepper"
    if pepper is not None:
        file.write_bytes(pepper)
    keys = tuple(KeySettings(id=key[4:-65], principal="own", sha256=sha256(key)) for key in own)
    return ApiKeys(ApiKeysConfig(keys=keys, pepper_file=file, store=store))


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def entered(keys: ApiKeys, board: Any) -> AbstractAsyncContextManager[object]:
    context = keys.lifespan(cast("Gateway", Around(board)))
    assert context is not None
    return context


@asynccontextmanager
async def following(keys: ApiKeys, *entries: StoredKey) -> AsyncIterator[Any]:
    board = MemoryBoard()
    for entry in entries:
        await board.topic("keys").put(entry.id, entry.encoded())
    async with entered(keys, board):
        yield board.topic("keys")


def answer(keys: ApiKeys, key: str, now: float = NOW) -> Refusal | Exchange:
    exchange = an_exchange(request_headers=CIMultiDict({"X-API-Key": key}), clock=Clock(wall=lambda: now))
    return keys.pre_request(exchange) or exchange


def lets_in(keys: ApiKeys, key: str, now: float = NOW) -> bool:
    return not isinstance(answer(keys, key, now), Refusal)


async def test_a_stored_key_says_who_calls_and_what_is_known_of_them(tmp_path: Path) -> None:
    keys = plugin(tmp_path, OWN)
    entry = stored(roles=("analyst",), department="data", cost_center="cc", labels={"team": "blue"})
    async with following(keys, entry):
        exchange = answer(keys, KEY)
        assert isinstance(exchange, Exchange)
        principal = exchange.principal
        assert principal is not None
        assert (principal.id, principal.roles, principal.key_id) == ("alice", {"analyst"}, "k-alice")
        assert (principal.department, principal.cost_center) == ("data", "cc")
        assert principal.attributes == {"team": "blue"}
        assert lets_in(keys, OWN)
        assert {one.id for one in keys.principals()} == {"alice", "own"}


async def test_a_key_comes_and_goes_while_the_gateway_runs(tmp_path: Path) -> None:
    keys = plugin(tmp_path)
    async with following(keys, stored(id="k-bob")) as topic:
        assert not lets_in(keys, KEY)
        await topic.put("k-alice", stored().encoded())
        assert lets_in(keys, KEY)
        await topic.put(Revocation.name("k-alice"), Revocation(at=NOW).encoded())
        assert not lets_in(keys, KEY)
        await topic.put("k-alice", stored().encoded())
        assert not lets_in(keys, KEY)
        await topic.remove("k-alice")
        await topic.remove(Revocation.name("k-alice"))
        assert not lets_in(keys, KEY)


async def test_both_secrets_of_a_rotated_key_are_good_until_the_old_one_is_not(tmp_path: Path) -> None:
    keys = plugin(tmp_path)
    rotated = stored(NEXT, previous=StoredKey.digest_of(KEY, SECRET).hex(), previous_until=NOW + 1, expires=NOW + 5)
    async with following(keys, rotated):
        assert lets_in(keys, KEY)
        assert lets_in(keys, NEXT)
        assert not lets_in(keys, KEY, NOW + 1)
        assert lets_in(keys, NEXT, NOW + 1)
        assert not lets_in(keys, NEXT, NOW + 5)


async def test_the_configs_keys_go_before_the_stores_and_are_all_where_the_store_is_switched_off(
    tmp_path: Path,
) -> None:
    keys = plugin(tmp_path, KEY)
    async with following(keys, stored(NEXT)) as topic:
        assert lets_in(keys, KEY)
        assert not lets_in(keys, NEXT)
        await topic.put(Revocation.name("k-alice"), Revocation(at=NOW).encoded())
        assert lets_in(keys, KEY)
    off = plugin(tmp_path, store=False)
    assert off.lifespan(cast("Gateway", Around(MemoryBoard()))) is None
    assert off.key_store() is None


@pytest.mark.parametrize("rotating", [False, True])
async def test_whatever_is_wrong_with_a_key_takes_the_same_digests_and_comparisons(
    rotating: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of the config, of the store, revoked, with a wrong secret, or of an id that nobody has: nobody can tell."""
    keys = plugin(tmp_path, OWN)
    previous = {"previous": "00" * 32, "previous_until": NOW + 1} if rotating else {}
    async with following(keys, stored(**previous), stored(id="gone")) as topic:
        await topic.put(Revocation.name("gone"), Revocation(at=NOW).encoded())
        done = counted(monkeypatch)
        seen = set()
        for key in (KEY, OWN, KEY[:-1] + "0", OWN[:-1] + "0", KEY.replace("k-alice", "gone"), "agk_x_" + "0" * 64, ""):
            lets_in(keys, key)
            seen.add(tuple(sorted(done)))
            done.clear()
        assert seen == {(*["compare_digest"] * (2 if rotating else 1), "digest", "sha256")}


@pytest.mark.parametrize("here", [None, b"other"])
async def test_a_gateway_does_not_start_without_the_pepper_that_keys_were_made_with(
    here: bytes | None, tmp_path: Path
) -> None:
    keys = plugin(tmp_path, pepper=here)
    with pytest.raises(AiogateError) as caught:
        async with following(keys, stored()):
            raise AssertionError
    said = str(caught.value)
    assert f"were made with pepper {Pepper.id_of(SECRET)}" in said
    assert (f"pepper {Pepper.id_of(b'other')} is in" if here else "there is none in") in said
    assert "give the one that they were made with" in said
    async with following(keys) as topic:
        await topic.put(Revocation.name("k-alice"), Revocation(at=NOW).encoded())
        await topic.put("k-alice", stored().encoded())


async def test_a_pepper_that_is_made_with_the_first_key_is_found_by_a_gateway_that_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = plugin(tmp_path, pepper=None)
    async with following(keys) as topic:
        assert not lets_in(keys, KEY)
        pepper = await asyncio.to_thread(Pepper(None, tmp_path / "pepper").make)
        await topic.put("k-alice", stored(pepper=pepper).encoded())
        async with asyncio.timeout(SECONDS):
            while not lets_in(keys, KEY):
                await asyncio.sleep(0)
        with caplog.at_level(logging.ERROR):
            await topic.put("k-bob", stored(id="k-bob", pepper=b"other").encoded())
            async with asyncio.timeout(SECONDS):
                while f"made with pepper {Pepper.id_of(b'other')}" not in caplog.text:
                    await asyncio.sleep(0)
        assert lets_in(keys, KEY)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"[]",
        b'{"id": "k-alice"}',
        stored().encoded()[:-1] + b',"only_agents":["x"]}',
        stored().encoded().replace(b'"networks":[]', b'"networks":["nowhere"]'),
        stored(id="k-bob").encoded(),
        stored().encoded().replace(b'"digest":"', b'"digest":"zz'),
    ],
)
async def test_an_entry_that_is_not_understood_lets_nobody_in_and_hurts_no_other(entry: bytes, tmp_path: Path) -> None:
    keys = plugin(tmp_path)
    async with following(keys, stored(id="k-bob")) as topic:
        await topic.put("k-alice", entry)
        assert not lets_in(keys, KEY)
        await topic.put("k-alice", stored().encoded())
        assert lets_in(keys, KEY)
        await topic.put("k-alice", entry)
        assert not lets_in(keys, KEY)


async def test_a_store_that_nobody_has_read_yet_is_no_reason_to_call_a_key_wrong(tmp_path: Path) -> None:
    keys, board = plugin(tmp_path, OWN), Away()
    async with entered(keys, board):
        refused = answer(keys, KEY)
        assert isinstance(refused, Refusal)
        assert (refused.status, refused.code) == (503, "state_unavailable")
        wrong = answer(keys, OWN[:-1] + "0")
        assert refused == wrong
        assert lets_in(keys, OWN)
        missing = answer(keys, "")
        assert isinstance(missing, Refusal)
        assert missing.status == 401
        board.degraded = None
        assert cast("Refusal", answer(keys, KEY)).status == 401
