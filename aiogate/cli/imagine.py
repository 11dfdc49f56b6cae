"""Exchanges that no client has sent, for commands that ask the plugins about one: imagined, or out of the journal.

Knows how the server opens an exchange, and sends nothing anywhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

import attrs
from multidict import CIMultiDict

from aiogate.calls import Call
from aiogate.errors import AiogateError, Refused
from aiogate.exchange import ANONYMOUS, Clock, Exchange, Principal
from aiogate.journal.reader import Record
from aiogate.pipeline.run import Pipeline
from aiogate.proxy.body import too_large
from aiogate.proxy.target import target_of
from aiogate.server.open import candidates, look_round
from aiogate.settings.model import Settings

__all__ = ["Callers", "NotInTheJournal", "imagined", "of_record", "unknown_of"]

_LONGEST_CHOICE: Final = 10
_CUT: Final = "…"
NotInTheJournal: Final = frozenset(
    {"body", "request.headers", "request.query", "request.content_length", "usage.budget_share"}
)
"""What conditions may ask of an exchange and its record does not tell."""
_OF_THE_CALL: Final = frozenset({"mcp.method", "mcp.tool", "a2a.method"})
_OF_THE_CONFIG: Final = frozenset({"principal.roles", "principal.attributes", "principal.cost_center"})


@attrs.frozen
class GivenBody:
    """The body of a request that nobody sends."""

    body: bytes

    async def read(self, max_bytes: int) -> bytes:
        """Return it; raises ``Refused`` (413) as a client's does."""
        if len(self.body) > max_bytes:
            raise Refused(too_large(max_bytes))
        return self.body


def imagined(  # noqa: PLR0913 - one argument for each thing that a request has
    settings: Settings,
    method: str,
    path: str,
    *,
    query: str | None = None,
    principal: Principal | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    address: str = "127.0.0.1",
    moment: float | None = None,
    **facts: Any,  # noqa: ANN401 - further fields of Exchange
) -> Exchange:
    """Return the exchange as the server would open it; ``path`` is the whole one. Raises ``Refused``."""
    target = target_of(path)
    if target.refused is not None:
        raise Refused(target.refused)
    named = settings.agents.get(target.agent_id) if target.agent_id is not None else None
    clock = Clock() if moment is None else Clock(wall=lambda: moment)
    values: dict[str, Any] = {
        "id": "0" * 32,
        "clock": clock,
        "method": method,
        "full_path": target.full_path,
        "path": target.path,
        "query": target.query if query is None else query,
        "target": target.agent_id,
        "scheme": "http",
        "client_address": address,
        "request_headers": CIMultiDict(headers),
        "content_length": len(body),
        "agent": named,
        "candidates": candidates(named, target.capabilities, settings.agents),
        "request_body": GivenBody(body),
        "generation": 1,
        "started": clock.monotonic(),
        "started_wall": clock.wall(),
        "principal": principal or (ANONYMOUS if settings.server.anonymous else None),
    }
    exchange = Exchange(**{**values, **facts})
    if named is None:
        look_round(exchange, target.capabilities, settings.agents)
    return exchange


def of_record(settings: Settings, record: Record, principal: Principal | None) -> Exchange:
    """Return the exchange that a record is of, as far as it tells; raises ``Refused`` where its path is no agent's."""
    return imagined(
        settings,
        str(record["method"]),
        str(record["path"]).removesuffix(_CUT),
        principal=principal,
        address=str(record.get("client") or ""),
        moment=datetime.fromisoformat(record["time"]).timestamp(),
        id=record["request_id"],
        call=_call_of(settings, record),
    )


def _call_of(settings: Settings, record: Record) -> Call | None:
    """Return what a record says was called."""
    agent, said = settings.agents.get(record.get("agent") or ""), record.get("call")
    if agent is None or agent.protocol is None or not said:
        return None
    return Call(protocol=agent.protocol, method=str(said.get("method", "")), tool=str(said.get("tool", "")))


def unknown_of(record: Record, *, is_known: bool) -> frozenset[str]:
    """Return the names of what nobody knows of a record's exchange; ``is_known``: the config knows the principal."""
    unknown = NotInTheJournal if is_known else NotInTheJournal | _OF_THE_CONFIG
    if _CUT in str(record.get("call", _CUT)):
        unknown |= _OF_THE_CALL
    return unknown | {"request.path"} if str(record["path"]).endswith(_CUT) else unknown


@attrs.frozen
class Callers:
    """The principals that a config knows, by id and by key."""

    _by_id: Mapping[str, Principal]
    _by_key: Mapping[str, Principal]

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Callers":
        """Ask the plugins that authenticate: one that knows its principals has a method ``principals()``."""
        found = list(_principals(pipeline))
        by_id = {principal.id: principal for principal in reversed(found)}
        return cls(by_id, {principal.key_id: principal for principal in found if principal.key_id is not None})

    def named(self, principal_id: str) -> Principal:
        """Return a principal, with the first of its keys; raises ``AiogateError`` when the config has none."""
        if principal_id not in self._by_id:
            close = get_close_matches(principal_id, self._by_id, n=1)
            known = ", ".join(sorted(self._by_id)[:_LONGEST_CHOICE]) or "none"
            hint = f"did you mean {close[0]!r}?" if close else f"known are: {known}"
            msg = f"the config knows no principal {principal_id!r}; {hint}"
            raise AiogateError(msg)
        return self._by_id[principal_id]

    def get(self, principal_id: str) -> Principal | None:
        """Return a principal, None when the config has none of that name."""
        return self._by_id.get(principal_id)

    def of_record(self, record: Record) -> tuple[Principal | None, bool]:
        """Return who a record's exchange was by, and whether the config knows the rest of it: roles and attributes."""
        principal_id, key_id = record.get("principal"), record.get("key_id")
        if principal_id is None:
            return None, False
        known = self._by_key.get(key_id) if key_id is not None else self._by_id.get(principal_id)
        department = record.get("department")
        if known is None or known.id != principal_id:
            return Principal(id=principal_id, key_id=key_id, department=department), principal_id == ANONYMOUS.id
        return attrs.evolve(known, department=department), True


def _principals(pipeline: Pipeline) -> Iterator[Principal]:
    for plugin in pipeline.plugins.values():
        if (principals := getattr(plugin, "principals", None)) is not None:
            yield from principals()
