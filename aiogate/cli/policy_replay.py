"""What the rules of another config would have said of the journal's exchanges; for ``aiogate policy replay``.

A verdict is kept by what it depends on, so that a journal of millions is a matter of minutes.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from aiogate.agent import Agent
from aiogate.cli.imagine import Callers, imagined, unknown_of
from aiogate.cli.policy_cases import policies_of
from aiogate.cli.progress import progress
from aiogate.errors import JournalError
from aiogate.exchange import Clock, Exchange, Principal
from aiogate.journal.reader import Record, records
from aiogate.pipeline.load import load
from aiogate.settings.model import Settings

__all__ = ["Change", "Replay", "replayed", "shown"]

_PATH: Final = re.compile(r"/[^/]+/[^/]+(?P<rest>(?:/.*)?)", re.DOTALL)
"""``/agents/{id}`` and what follows."""
_POLICY_CODES: Final = frozenset({"policy_denied", "policy_failed"})
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "principal": ("principal", "key_id", "department"),
    "client": ("client",),
    "request.method": ("method",),
    "request.path": ("path",),
    "now": ("time",),
}
"""Which members of a record a name of the rules stands for, or all names that begin so; for others there are none."""
_KEPT: Final = 200_000
_LISTED: Final = 10


class Verdict(Protocol):
    """What the plugin says of an exchange that is over; see ``builtin/policies/replay.py``."""

    @property
    def rule(self) -> str | None:
        """The first rule that certainly denies."""
        ...

    @property
    def undecided(self) -> tuple[str, ...]:
        """Rules before it that cannot be decided."""
        ...

    @property
    def missing(self) -> frozenset[str]:
        """What they would need."""
        ...


class Policies(Protocol):
    """The plugin."""

    def names(self, agent: Agent) -> frozenset[str]:
        """Return what the verdicts of an agent depend on."""
        ...

    def replay(self, exchange: Exchange, agent: Agent, unknown: frozenset[str]) -> Verdict:
        """Return what the rules say."""
        ...


@attrs.frozen
class Change:
    """A verdict that changes: the rule that denied before, and the one that denies now; None: none."""

    before: str | None
    now: str | None

    def __str__(self) -> str:
        """Return it for a person."""
        if self.before is None:
            return f"denied now, by {self.now}"
        return f"denied no longer, by {self.before}" if self.now is None else f"denied by {self.now}, not {self.before}"


Each = Callable[[Record, Change], None]


@attrs.define
class Replay:
    """What came out: how many exchanges, whose verdict changes, and what could not be replayed.

    Args:
        changes: by change and principal.
        examples: a request id for each of them.
        undecided: by the rules and what they would need to know.
        not_replayed: by the reason.
    """

    since: datetime
    exchanges: int = 0
    changes: Counter[tuple[Change, str]] = attrs.field(factory=Counter)
    examples: dict[tuple[Change, str], str] = attrs.field(factory=dict)
    undecided: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    not_replayed: Counter[str] = attrs.field(factory=Counter)

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "since": self.since.isoformat(),
            "exchanges": self.exchanges,
            "changes": [
                {
                    "before": change.before,
                    "now": change.now,
                    "principal": principal,
                    "exchanges": count,
                    "example": self.examples[change, principal],
                }
                for (change, principal), count in self.changes.most_common()
            ],
            "undecided": [
                {"rules": rules, "missing": missing, "exchanges": count}
                for (rules, missing), count in self.undecided.most_common()
            ],
            "not_replayed": dict(self.not_replayed),
        }


def replayed(
    config: Path, since: datetime, directory: Path | None, environ: Mapping[str, str], each: Each | None = None
) -> Replay:
    """Return what the rules of a config say of the exchanges in its journal, or in that of ``directory``.

    ``each`` is told every exchange whose verdict changes.
    """
    settings, pipeline = load(config, environ)
    directory = directory or settings.journal.dir
    if not directory.is_dir():
        msg = f"there is no journal in {directory}; --dir says where it is"
        raise JournalError(msg)
    replay = Replay(since)
    blank = imagined(settings, "GET", "/agents")
    replayer = _Replayer(settings, policies_of(pipeline), Callers.of(pipeline), replay, blank, each)
    replayer.run(records(directory, since, progress=progress("replayed")))
    return replay


@attrs.define
class _Replayer:
    """Runs records through rules; ``_keys`` says for each agent what a verdict depends on."""

    _settings: Settings
    _policies: Policies
    _callers: Callers
    _replay: Replay
    _exchange: Exchange
    _each: Each | None = None
    _principals: dict[Hashable, tuple[Principal | None, bool]] = attrs.field(factory=dict)
    _keys: dict[str, Callable[[Record], Hashable]] = attrs.field(factory=dict)
    _verdicts: dict[Hashable, Verdict | None] = attrs.field(factory=dict)

    def run(self, found: Iterable[Record]) -> None:
        """Take note of every record."""
        replay = self._replay
        for record in found:
            replay.exchanges += 1
            agent = record.get("agent")
            if agent is None or record.get("principal") is None:
                replay.not_replayed["refused before anybody asked the rules"] += 1
            elif agent not in self._settings.agents:
                replay.not_replayed["of an agent that the config does not have"] += 1
            else:
                self._take(record, self._verdict(record, agent))

    def _verdict(self, record: Record, agent: str) -> Verdict | None:
        if agent not in self._keys:
            self._keys[agent] = _key(self._policies.names(self._settings.agents[agent]))
        key = agent, self._keys[agent](record)
        if key not in self._verdicts:
            if len(self._verdicts) >= _KEPT:
                self._verdicts.clear()
            self._verdicts[key] = self._asked(record, agent)
        return self._verdicts[key]

    def _asked(self, record: Record, agent: str) -> Verdict | None:
        path = _PATH.fullmatch(record["path"])
        if path is None:
            return None
        who = record["principal"], record.get("key_id"), record.get("department")
        if who not in self._principals:
            self._principals[who] = self._callers.of_record(record)
        exchange = self._exchange  # one for all: an exchange is a large thing to make a million times
        exchange.principal, is_known = self._principals[who]
        exchange.method, exchange.path = record["method"], path["rest"]
        exchange.client_address = record.get("client") or ""
        wall = datetime.fromisoformat(record["time"]).timestamp()
        exchange.clock = Clock(wall=lambda: wall)
        return self._policies.replay(exchange, self._settings.agents[agent], unknown_of(record, is_known=is_known))

    def _take(self, record: Record, verdict: Verdict | None) -> None:
        replay = self._replay
        if verdict is None:
            replay.not_replayed["with a path that is no agent's"] += 1
            return
        before = record.get("rule") if record.get("code") in _POLICY_CODES else None
        if before is None and record.get("outcome") == "refused":
            return  # by something else, which the rules do not change
        if verdict.rule is None and verdict.undecided:
            replay.undecided[", ".join(verdict.undecided), ", ".join(sorted(verdict.missing))] += 1
        elif verdict.rule != before and before not in verdict.undecided:
            change = Change(before, verdict.rule), str(record["principal"])
            replay.changes[change] += 1
            replay.examples.setdefault(change, str(record["request_id"]))
            if self._each is not None:
                self._each(record, change[0])


def _key(names: frozenset[str]) -> Callable[[Record], Hashable]:
    """Return what tells two records apart whose verdicts may differ, by the names that the rules mention."""
    fields: set[str] = set()
    for name in names:
        fields.update(_FIELDS.get(name) or _FIELDS.get(name.partition(".")[0], ()))
    others = tuple(sorted(fields - {"time"}))
    if "time" not in fields:
        return lambda record: tuple(map(record.get, others))
    # the hour and the day change with the minute at most, in any time zone
    until = None if "now.time" in names else len("2026-01-31T23:59")
    return lambda record: (record["time"][:until], *map(record.get, others))


def shown(replay: Replay) -> Iterator[str]:
    """Yield the lines for a person."""
    yield f"{replay.exchanges:,} exchanges since {replay.since:%Y-%m-%d %H:%M} UTC: {replay.changes.total():,} change"
    by_change: dict[Change, list[tuple[str, int]]] = {}
    for (change, principal), count in replay.changes.most_common():
        by_change.setdefault(change, []).append((principal, count))
    for change, principals in by_change.items():
        yield f"  {change}: {sum(count for _, count in principals):,}"
        for principal, count in principals[:_LISTED]:
            yield f"    {count:>10,}  {principal:<24} e.g. {replay.examples[change, principal]}"
        if len(principals) > _LISTED:
            rest = sum(count for _, count in principals[_LISTED:])
            yield f"    {rest:>10,}  by {len(principals) - _LISTED} others (--json lists them)"
    for (rules, missing), count in replay.undecided.most_common(_LISTED):
        yield f"  undecided, by {rules}: {count:,}, for the journal does not tell {missing}"
    for reason, count in replay.not_replayed.items():
        yield f"  not replayed, {reason}: {count:,}"
