"""The keys of a store, as those meet them who make and revoke them: what they may, and what is written down."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from aiogate.errors import JournalError, Refused, StateError
from aiogate.exchange import Clock
from aiogate.pepper import Pepper
from aiogate.state.board import MemoryBoard, MemoryTopic
from aiogate.state.keybook import Author, KeyBook, Rotation, Wanted
from aiogate.stored_key import Revocation, StoredKey

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)
ALICE = Wanted(principal="Alice A", roles=("analyst",), labels={"team": "blue"}, networks=("10.0.0.0/8",))
EVE = Author("eve", "why not")


@attrs.define
class Desk:
    """A book of keys, and what a test may do to what it stands on."""

    folder: Path
    topic: MemoryTopic = attrs.field(factory=lambda: MemoryBoard().topic("keys"))
    now: float = NOON.timestamp()
    written: list[tuple[str, str, str]] = attrs.field(factory=list)
    full: bool = False
    meanwhile: Callable[[], object] = lambda: None

    def book(self, pepper: str = "pepper", taken: frozenset[str] = frozenset()) -> KeyBook:
        def record(action: str, key_id: str, author: Author) -> None:
            if self.full:
                raise JournalError
            self.written.append((action, key_id, author.actor))
            self.meanwhile()

        return KeyBook(self.topic, Pepper(None, self.folder / pepper), Clock(wall=lambda: self.now), record, taken)

    def stored(self, key_id: str) -> StoredKey:
        return StoredKey.of(self.topic.entries[key_id])

    def digest(self, key: str, pepper: str = "pepper") -> str:
        return StoredKey.digest_of(key, (self.folder / pepper).read_bytes().strip()).hex()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.topic.close()


async def refused(doing: object) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        await doing  # type: ignore[misc] # whatever it is, it does not get that far
    return caught.value.refusal.code, caught.value.refusal.detail


async def test_a_key_is_made_whole_once_and_kept_as_a_digest(desk: Desk) -> None:
    key, known = await desk.book().create(ALICE, EVE)
    stored = desk.stored(known["id"])
    assert key.startswith(f"agk_{stored.id}_")
    assert stored.id.startswith("alice-a-")
    assert stored.digest == desk.digest(key)
    assert key.rpartition("_")[2] not in str(desk.topic.entries)
    assert (known["status"], known["roles"], known["labels"]) == ("active", ["analyst"], {"team": "blue"})
    assert (known["created"], known["created_by"]) == ("2027-01-01T12:00:00+00:00", "eve")
    assert not known.keys() & {"digest", "previous"}
    assert desk.book().list() == [known]
    assert desk.written == [("keys.create", stored.id, "eve")]


async def test_an_id_is_taken_once_by_the_config_or_by_the_store_also_by_a_key_that_is_revoked(desk: Desk) -> None:
    wanted = attrs.evolve(ALICE, id="k")
    book = desk.book(taken=frozenset({"of-config"}))
    await book.create(wanted, EVE)
    assert (await refused(book.create(wanted, EVE)))[0] == "key_exists"
    await book.revoke("k", EVE)
    assert (await refused(book.create(wanted, EVE)))[0] == "key_exists"
    assert (await refused(book.create(attrs.evolve(wanted, id="of-config"), EVE)))[0] == "key_exists"
    assert "is in the config" in (await refused(book.revoke("of-config", EVE)))[1]
    assert await refused(book.revoke("x", EVE)) == ("not_found", "key 'x' is not in the store")


async def test_a_rotated_key_has_two_secrets_for_as_long_as_was_asked_for(desk: Desk) -> None:
    first, _ = await desk.book().create(attrs.evolve(ALICE, id="k"), EVE)
    desk.now += 10
    second, known = await desk.book().rotate("k", Rotation(overlap_seconds=60), EVE)
    assert (known["status"], known["previous_until"]) == ("rotating", "2027-01-01T12:01:10+00:00")
    assert (desk.stored("k").digest, desk.stored("k").previous) == (desk.digest(second), desk.digest(first))
    third, _ = await desk.book().rotate("k", Rotation(overlap_seconds=60), EVE)
    assert desk.stored("k").previous == desk.digest(second)
    desk.now += 61
    assert desk.book().show("k")["status"] == "active"
    await desk.book().rotate("k", Rotation(overlap_seconds=0, expires=NOON + timedelta(days=1)), EVE)
    assert desk.stored("k").previous is None
    assert desk.stored("k").expires == NOON.timestamp() + 86400
    assert desk.digest(third) not in str(desk.topic.entries)


async def test_a_rotation_at_the_same_moment_undoes_no_revocation(desk: Desk) -> None:
    await desk.book().create(attrs.evolve(ALICE, id="k"), EVE)
    revoked = Revocation(at=desk.now).encoded()
    desk.meanwhile = lambda: desk.topic._snapshot.set(Revocation.name("k"), revoked)
    _, known = await desk.book().rotate("k", Rotation(), EVE)
    assert known["status"] == "revoked"
    assert (await refused(desk.book().rotate("k", Rotation(), EVE)))[0] == "key_revoked"


async def test_a_revoked_key_may_be_killed_later_and_is_revoked_since_it_was(desk: Desk) -> None:
    await desk.book().create(attrs.evolve(ALICE, id="k"), EVE)
    known = await desk.book().revoke("k", EVE)
    assert (known["status"], known["revoked_by"], known["revoked_because"]) == ("revoked", "eve", "why not")
    desk.now += 10
    assert (await desk.book().revoke("k", EVE, kills=True))["revoked"] == known["revoked"]
    assert Revocation.of(desk.topic.entries["!k"]).kills
    assert [action for action, _, _ in desk.written] == ["keys.create", "keys.revoke", "keys.kill"]


async def test_revocations_of_keys_that_are_gone_go_with_the_next_one(desk: Desk) -> None:
    for key_id in ("one", "two"):
        await desk.book().create(attrs.evolve(ALICE, id=key_id), EVE)
    await desk.book().revoke("one", EVE)
    await desk.topic.remove("one")
    await desk.book().revoke("two", EVE)
    assert desk.topic.entries.keys() == {"two", "!two"}


async def test_a_key_that_cannot_be_read_is_listed_and_can_be_revoked(desk: Desk) -> None:
    await desk.book().create(attrs.evolve(ALICE, id="k"), EVE)
    await desk.topic.put("k", desk.topic.entries["k"][:-1] + b',"only_agents":["x"]}')
    [known] = desk.book().list()
    assert (known["id"], known["status"]) == ("k", "unreadable")
    assert "of another version of aiogate" in known["problem"]
    await desk.topic.put("odd", b'{"id":"odd","principal":"a","digest":"","pepper_id":"","created":"yesterday"}')
    assert [one["status"] for one in desk.book().list()] == ["unreadable", "unreadable"]
    await desk.topic.remove("odd")
    await desk.book().revoke("k", EVE)
    assert "!k" in desk.topic.entries
    assert desk.topic.entries["k"].endswith(b',"only_agents":["x"]}')


async def test_what_is_over_cannot_begin_and_a_key_that_has_expired_needs_another_end(desk: Desk) -> None:
    yesterday, tomorrow = NOON - timedelta(days=1), NOON + timedelta(days=1)
    assert "over already" in (await refused(desk.book().create(attrs.evolve(ALICE, expires=yesterday), EVE)))[1]
    await desk.book().create(attrs.evolve(ALICE, id="k", expires=tomorrow), EVE)
    desk.now += 2 * 86400
    assert desk.book().show("k")["status"] == "expired"
    assert "has expired" in (await refused(desk.book().rotate("k", Rotation(), EVE)))[1]
    _, known = await desk.book().rotate("k", Rotation(expires=NOON + timedelta(days=9)), EVE)
    assert known["status"] == "rotating"


async def test_keys_are_not_made_with_another_pepper_than_the_others_were(desk: Desk, tmp_path: Path) -> None:
    await desk.book().create(attrs.evolve(ALICE, id="k"), EVE)
    code, detail = await refused(desk.book("lost").create(ALICE, EVE))
    assert (code, "and here is none" in detail) == ("other_pepper", True)
    assert not (tmp_path / "lost").exists()
    (tmp_path / "other").write_text("other")
    code, detail = await refused(desk.book("other").rotate("k", Rotation(), EVE))
    assert (code, "give the right one, or revoke those keys first" in detail) == ("other_pepper", True)
    await desk.book().revoke("k", EVE)
    await desk.book("other").create(ALICE, EVE)


async def test_what_cannot_be_written_down_is_not_done(desk: Desk) -> None:
    await desk.book().create(attrs.evolve(ALICE, id="k"), EVE)
    before, desk.full = dict(desk.topic.entries), True
    for doing in (
        desk.book().create(ALICE, EVE),
        desk.book().rotate("k", Rotation(), EVE),
        desk.book().revoke("k", EVE),
    ):
        with pytest.raises(JournalError):
            await doing
    assert desk.topic.entries == before


async def test_what_the_store_did_not_take_is_said_and_written_down(desk: Desk) -> None:
    def away() -> None:
        raise StateError("Redis is away")

    await desk.book().create(attrs.evolve(ALICE, id="k"), EVE)
    desk.topic.close()
    code, detail = await refused(desk.book().revoke("k", EVE))
    assert code == "state_unavailable"
    assert "nobody knows: look, and do it again" in detail
    assert [action for action, _, _ in desk.written[1:]] == ["keys.revoke", "keys.revoke.failed"]
