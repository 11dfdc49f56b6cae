"""``redis://``: counters in Redis, one for all gateways that share it. Imported only where a config asks for it.

What holds with Redis:

- All claims of an exchange are taken in one atomic step and one round trip, or none of them, by Redis's own clock. Any
  number of gateways on any number of machines admit together what one with ``memory://`` would.
- Windows, leases and periods are what they are in memory: in no interval of a window is more admitted, and windows of
  limits over 1,024 count up to 0.1 % longer, never shorter. A lease comes back when its gateway has died, after the
  claim's seconds; as long as it lives it is renewed.
- Each operation counts exactly once, also when its answer is lost. What an exchange really used is sent as it ends and
  not waited for; other gateways see it a round trip later.
- A period's counter never goes down: each gateway says with each claim what it has seen spent, so that a Redis that was
  restarted empty, flushed, or taken over by a replica that lagged behind is put right by the next claim; what nobody
  alive has seen, and what a gateway was killed before it told, by what all journals sum up to, within a minute.
- Those sums are here (``central.py``): each journal says what it sums up to, again after Redis has lost it. A journal
  whose gateway is down since is missing until that is back.
- Keys begin with ``[state] prefix``, share one hash tag and expire by themselves; amounts are exact up to 2^53.

What holds without it:

- No exchange waits longer than ``[state] timeout_seconds``. After the first that did none waits at all: Redis is tried
  in the background, and one that answers in time is asked again within about a second.
- What becomes of a claim then is its ``on_state_error``: ``refuse`` is a 503, ``allow`` admits, ``local`` admits this
  gateway's share (``share.py`` says how much that is). Records say ``degraded``.
- What was admitted and used meanwhile is told to Redis when it is back, so that windows count it for the rest of their
  time and periods have it spent. Up to 10,000 operations are kept; of more, windows lose the oldest, periods nothing.
- After Redis has lost its memory windows begin anew: up to one more limit may pass in one window. Leases that are held
  are there again at once.

Redis 6.2 or later: alone (``redis://``), the master that sentinels name (``redis+sentinel://host,host/service``), or a
cluster (``redis+cluster://host,host``), where what is said above of one step and one round trip holds for each part of
the counters: ``cluster.py`` says what that leaves. ``rediss`` in the place of ``redis`` is TLS. ``maxmemory-policy
noeviction``, as an evicted counter is a limit forgotten. A user needs ``~prefix*`` and ``+@read +@write +@scripting
+@connection +time +select``, in a cluster ``+cluster|slots`` too; with ``&prefix*`` and ``+publish +subscribe`` changes
of the board are known at once and not a second later.
"""

from aiogate.claims import OnStateError
from aiogate.exchange import Clock
from aiogate.settings.state_url import state_address
from aiogate.state.redis.cluster import ClusterState
from aiogate.state.redis.state import RedisState

__all__ = ["ClusterState", "RedisState", "counters_at"]


def counters_at(
    url: str, clock: Clock, *, prefix: str, timeout_seconds: float, on_error: OnStateError
) -> RedisState | ClusterState:
    """Return the counters of a URL, not connected yet; raises ``ValueError`` for one that cannot be read."""
    kind = ClusterState if state_address(url).kind == "cluster" else RedisState
    return kind(url, clock, prefix=prefix, timeout_seconds=timeout_seconds, on_error=on_error)
