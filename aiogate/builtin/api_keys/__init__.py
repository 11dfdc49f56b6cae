"""``api_keys``: who calls, by a key of 256 random bits of which only a hash is kept, in the config or in a store.

A key is ``agk_<id>_<secret>``: found by its public id, compared by its hash in constant time. Slow hashes would add
nothing to 256 random bits but a lever for attackers. Uses public names alone, as a third party would. ::

    [plugins.api_keys]
    pepper = "${AIOGATE_PEPPER}"         # what keys of the store are hashed with; without it: pepper_file
    store = true                         # false: the keys of the config and no others

    [[plugins.api_keys.keys]]            # aiogate keys new prints such a block
    id = "k-alice"
    sha256 = "9f86d0..."
    principal = "alice"
    roles = ["analyst"]

The store's keys are made, changed and revoked by ``aiogate keys``, or ``/api/keys`` of the admin listener, while
gateways run. They live on the board: in SQLite beside the journal (``store.sqlite``) with ``memory://``, in Redis with
``redis://``. Each process holds them all in memory, so that a lookup asks nobody; a change is known everywhere within a
second, a revocation as well. What holds:

- Of a key of the store there is an HMAC-SHA-256 with the pepper; whoever gets a copy of the store without it can check
  no key. The pepper is the config's, or else in ``pepper_file``, made with the first key, for its owner's eyes alone.
  Lost, all keys of the store are: a gateway that finds keys made with another pepper does not start, and says so.
  Gateways on several machines need the same one.
- Whatever is wrong with a key, the answer is the same 401, after the same digests and comparisons; the config's ids go
  before the store's. An entry that this version does not understand lets nobody in.
- With Redis away keys go on working from memory. A gateway that is started meanwhile serves the config's keys; for
  others it answers 503 ``state_unavailable``, for it cannot know them, until it has read the store once.
- A revocation is an entry of its own, which neither a rotation at the same moment nor a gateway that was cut off can
  undo. A rotated key has two secrets for a while, never three. What is over is listed for 30 days. There are at most
  10,000 keys.
- When a key was used last the journal says (``aiogate audit show``); nothing here keeps count of it.
"""

from aiogate.builtin.api_keys.plugin import ApiKeys
from aiogate.builtin.api_keys.settings import ApiKeysConfig, KeySettings

__all__ = ["ApiKeys", "ApiKeysConfig", "KeySettings"]
