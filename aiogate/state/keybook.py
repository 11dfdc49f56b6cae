"""The keys of a store, for those who make and revoke them: the command line and the admin listener.

Writes down who did what before it is done. Knows no HTTP, and of where keys are kept only the board's topic.
"""

import asyncio
import ipaddress
import re
import secrets
from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import attrs

from aiogate.board import Topic
from aiogate.errors import Refused, StateError, refusal
from aiogate.exchange import Clock
from aiogate.pepper import Pepper
from aiogate.stored_key import Revocation, StoredKey

__all__ = [
    "KEPT_SECONDS",
    "OVERLAP_SECONDS",
    "Author",
    "KeyBook",
    "Rotation",
    "Wanted",
    "key_id_for",
    "new_key",
    "shown",
]

KEPT_SECONDS: Final = 30 * 86400.0
"""For so long a key is still listed that has expired or was revoked."""
OVERLAP_SECONDS: Final = 86400.0
"""For so long the old secret is good beside the new one, where nobody says otherwise."""
MOST_KEYS: Final = 10_000
"""Those that are over and still listed included."""
_SECRET_BYTES: Final = 32
_SUFFIX_BYTES: Final = 3
_LONGEST_SLUG: Final = 57
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_LONGEST_TEXT: Final = 256
_MOST_ITEMS: Final = 100


@attrs.frozen
class Author:
    """Who does something to a key, and why."""

    actor: str
    reason: str


def _is_text(_owner: object, _attribute: object, value: Any) -> None:  # noqa: ANN401 - a text or None
    if value is not None and not 1 <= len(value) <= _LONGEST_TEXT:
        msg = f"expected 1 to {_LONGEST_TEXT} characters"
        raise ValueError(msg)


def _are_texts(_owner: object, _attribute: object, values: tuple[str, ...] | Mapping[str, str]) -> None:
    texts = (*values, *values.values()) if isinstance(values, Mapping) else values
    if len(values) > _MOST_ITEMS or not all(1 <= len(text) <= _LONGEST_TEXT for text in texts):
        msg = f"expected at most {_MOST_ITEMS}, each of 1 to {_LONGEST_TEXT} characters"
        raise ValueError(msg)


def _are_networks(_owner: object, _attribute: object, values: tuple[str, ...]) -> None:
    for value in values:
        ipaddress.ip_network(value)


def _is_id(_owner: object, _attribute: object, value: Any) -> None:  # noqa: ANN401 - a text or None
    if value is not None and not _ID.fullmatch(value):
        msg = "expected 1 to 64 letters, digits or '-'"
        raise ValueError(msg)


def _has_offset(_owner: object, _attribute: object, value: datetime | None) -> None:
    if value is not None and value.tzinfo is None:
        msg = f"expected a time zone, such as {value.isoformat()}Z"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class Wanted:
    """A key that somebody asks for; without an id it gets one. See ``StoredKey``."""

    principal: str = attrs.field(validator=_is_text)
    id: str | None = attrs.field(default=None, validator=_is_id)
    roles: tuple[str, ...] = attrs.field(default=(), validator=_are_texts)
    department: str | None = attrs.field(default=None, validator=_is_text)
    cost_center: str | None = attrs.field(default=None, validator=_is_text)
    labels: Mapping[str, str] = attrs.field(factory=dict, validator=_are_texts)
    networks: tuple[str, ...] = attrs.field(default=(), validator=[_are_texts, _are_networks])
    expires: datetime | None = attrs.field(default=None, validator=_has_offset)


@attrs.frozen(kw_only=True)
class Rotation:
    """How the secret of a key is changed.

    Args:
        overlap_seconds: for so long the secret that it has is good beside the new one; one before that is no more.
        expires: of the key, from now on; None: as it was.
    """

    overlap_seconds: float = attrs.field(default=OVERLAP_SECONDS, validator=attrs.validators.ge(0.0))
    expires: datetime | None = attrs.field(default=None, validator=_has_offset)


@attrs.frozen
class KeyBook:
    """All keys of one store.

    Args:
        taken: ids that the config gives to keys of its own.
        record: writes an action down, or raises: then nothing is done.
    """

    _topic: Topic
    _pepper: Pepper
    _clock: Clock
    _record: Callable[[str, str, Author], None]
    _taken: Container[str] = ()

    def list(self) -> list[dict[str, Any]]:
        """Return what is known of each key, by id."""
        return [self._shown(name) for name in sorted(self._topic.entries) if Revocation.revokes(name) is None]

    def show(self, key_id: str) -> dict[str, Any]:
        """Return what is known of a key; raises ``Refused``."""
        return shown(self._found(key_id), self._revocation(key_id), self._clock.wall())

    async def create(self, wanted: Wanted, author: Author) -> tuple[str, dict[str, Any]]:
        """Make a key; return it, whole for the only time, and what is known of it. Raises ``Refused``."""
        key_id, now = wanted.id or key_id_for(wanted.principal), self._clock.wall()
        ends = self._later(wanted.expires, "expires: that is over already")
        if key_id in self._taken or {key_id, Revocation.name(key_id)} & self._topic.entries.keys():
            raise Refused(refusal("key_exists", f"there is a key {key_id!r} already; rotate it, or take another id"))
        if len(self._topic.entries) >= MOST_KEYS:
            _refuse(f"there are {MOST_KEYS} keys, and no more are kept")
        pepper = await self._the_pepper()
        key = new_key(key_id)
        facts = {**attrs.asdict(wanted), "id": key_id, "expires": ends, "created": now, "created_by": author.actor}
        stored = StoredKey(**facts, digest=StoredKey.digest_of(key, pepper).hex(), pepper_id=Pepper.id_of(pepper))
        async with self._recorded("keys.create", key_id, author):
            if not await self._topic.put_new(key_id, stored.encoded(), seconds=self._kept(stored)):
                raise Refused(refusal("key_exists", f"somebody has just made a key {key_id!r}; take another id"))
        return key, self.show(key_id)

    async def rotate(self, key_id: str, wanted: Rotation, author: Author) -> tuple[str, dict[str, Any]]:
        """Give a key another secret; returns as ``create`` does. Raises ``Refused``."""
        stored, now = self._found(key_id), self._clock.wall()
        if self._revocation(key_id) is not None:
            raise Refused(refusal("key_revoked", f"key {key_id!r} is revoked for good; make another one"))
        ends = self._later(wanted.expires, "expires: that is over already") or stored.expires
        if ends is not None and ends <= now:
            _refuse(f"key {key_id!r} has expired; say until when it is good")
        pepper = await self._the_pepper()
        key = new_key(key_id)
        digest = StoredKey.digest_of(key, pepper).hex()
        overlaps = bool(wanted.overlap_seconds) and stored.pepper_id == Pepper.id_of(pepper)
        new = attrs.evolve(
            stored,
            digest=digest,
            pepper_id=Pepper.id_of(pepper),
            rotated=now,
            expires=ends,
            previous=stored.digest if overlaps else None,
            previous_until=now + wanted.overlap_seconds if overlaps else None,
        )
        entry = new.encoded()
        async with self._recorded("keys.rotate", key_id, author):
            await self._topic.put(key_id, entry, seconds=self._kept(new))
        if self._topic.entries.get(key_id) != entry:
            detail = f"somebody else has changed key {key_id!r} at the same moment; this secret may be good no more"
            raise Refused(refusal("key_exists", detail))
        return key, self.show(key_id)

    async def revoke(self, key_id: str, author: Author, *, kills: bool = False) -> dict[str, Any]:
        """Have a key refused everywhere, for good; ``kills`` ends what is under way with it. Raises ``Refused``.

        One that is revoked already may be revoked again, to end what it has under way.
        """
        entry, before = self._entry(key_id), self._revocation(key_id)
        now = self._clock.wall()
        at = now if before is None else before.at
        revocation = Revocation(at=at, actor=author.actor, reason=author.reason, kills=kills)
        async with self._recorded("keys.kill" if kills else "keys.revoke", key_id, author):
            await self._topic.put(Revocation.name(key_id), revocation.encoded())
        await self._topic.put(key_id, entry, seconds=KEPT_SECONDS)
        for name in tuple(self._topic.entries):
            revoked = Revocation.revokes(name)
            if revoked is not None and revoked not in self._topic.entries:
                await self._topic.remove(name)
        return self._shown(key_id)

    def _entry(self, key_id: str) -> bytes:
        entry = self._topic.entries.get(key_id)
        if entry is None or Revocation.revokes(key_id) is not None:
            there = (
                "is in the config, which is where it can be changed" if key_id in self._taken else "is not in the store"
            )
            raise Refused(refusal("not_found", f"key {key_id!r} {there}"))
        return entry

    def _found(self, key_id: str) -> StoredKey:
        try:
            return StoredKey.of(self._entry(key_id))
        except (ValueError, TypeError) as error:
            raise Refused(refusal("not_found", f"key {key_id!r} cannot be read: {error}")) from error

    def _shown(self, key_id: str) -> dict[str, Any]:
        """Return what is known of a key also where that is next to nothing."""
        try:
            return self.show(key_id)
        except Refused as refused:
            problem = refused.refusal.detail
        except (ValueError, TypeError, OverflowError) as error:
            problem = f"key {key_id!r} says nothing sensible: {error}"
        return {"id": key_id, "status": "unreadable", "problem": problem}

    def _revocation(self, key_id: str) -> Revocation | None:
        entry = self._topic.entries.get(Revocation.name(key_id))
        try:
            return None if entry is None else Revocation.of(entry)
        except (ValueError, TypeError):
            return Revocation(at=0.0, reason="written by another version of aiogate")

    async def _the_pepper(self) -> bytes:
        """Return the pepper that new keys are made with; one that other keys were not made with is none."""
        pepper = await asyncio.to_thread(self._pepper.read)
        here = "" if pepper is None else Pepper.id_of(pepper)
        others = set[str]()
        for stored in self._living():
            if stored.pepper_id == here and pepper is not None:
                return pepper
            others.add(stored.pepper_id)
        if not others:
            return await asyncio.to_thread(self._pepper.make)
        made = f"the keys of the store were made with pepper {', '.join(sorted(others))}"
        if pepper is None:
            hint = f"give it as plugins.api_keys.pepper or in {self._pepper.place}"
            raise Refused(refusal("other_pepper", f"{made}, and here is none: {hint}"))
        hint = f"which is in {self._pepper.place}: give the right one, or revoke those keys first"
        raise Refused(refusal("other_pepper", f"{made}, not with {here}, {hint}"))

    def _living(self) -> Iterator[StoredKey]:
        for name, entry in self._topic.entries.items():
            if Revocation.revokes(name) is None and Revocation.name(name) not in self._topic.entries:
                with suppress(ValueError, TypeError):
                    yield StoredKey.of(entry)

    def _later(self, moment: datetime | None, or_else: str) -> float | None:
        """Return a moment in wall seconds; raises ``Refused`` for one that is over."""
        if moment is not None and moment.timestamp() <= self._clock.wall():
            _refuse(or_else)
        return None if moment is None else moment.timestamp()

    def _kept(self, stored: StoredKey) -> float | None:
        """Return for how long an entry is kept; None: for ever."""
        return None if stored.expires is None else stored.expires - self._clock.wall() + KEPT_SECONDS

    @asynccontextmanager
    async def _recorded(self, action: str, key_id: str, author: Author) -> AsyncIterator[None]:
        """Write an action down before it is done, and also that it could not be done."""
        self._record(action, key_id, author)
        try:
            yield
        except StateError as error:
            self._record(f"{action}.failed", key_id, author)
            detail = (
                f"the store cannot be asked: {error}; whether anything has changed nobody knows: look, and do it again"
            )
            raise Refused(refusal("state_unavailable", detail)) from error
        except Refused:
            self._record(f"{action}.failed", key_id, author)
            raise


def key_id_for(principal: str) -> str:
    """Return a new id that says whose key it is, and which of them."""
    slug = re.sub(r"[^a-z0-9]+", "-", principal.lower())[:_LONGEST_SLUG].strip("-")
    return f"{slug or 'key'}-{secrets.token_hex(_SUFFIX_BYTES)}"


def new_key(key_id: str) -> str:
    """Return a key of 256 random bits."""
    return f"agk_{key_id}_{secrets.token_hex(_SECRET_BYTES)}"


def shown(stored: StoredKey, revocation: Revocation | None, now: float) -> dict[str, Any]:
    """Return what people may know of a key, for JSON: times in UTC, no digest."""
    facts = attrs.asdict(stored, filter=attrs.filters.exclude("digest", "previous", "pepper_id"))
    facts |= {name: list(facts[name]) for name in ("roles", "networks")}
    for name in ("created", "expires", "rotated", "previous_until"):
        facts[name] = _time(facts[name])
    status = "active"
    if revocation is not None:
        status = "revoked"
        facts |= {"revoked": _time(revocation.at), "revoked_by": revocation.actor, "revoked_because": revocation.reason}
    elif stored.expires is not None and now >= stored.expires:
        status = "expired"
    elif stored.previous_until is not None and now < stored.previous_until:
        status = "rotating"
    return {"id": stored.id, "status": status, **facts, "pepper": stored.pepper_id}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _refuse(detail: str) -> NoReturn:
    raise Refused(refusal("bad_request", detail))
