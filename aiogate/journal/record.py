"""Makes the journal's record of an ended exchange, for the writer and the access log.

Knows nothing of files: an exchange goes in, one line of JSON comes out.
"""

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import orjson

from aiogate.calls import Call
from aiogate.exchange import Attempt, Exchange, Usage
from aiogate.journal.chain import LINK_BYTES

__all__ = [
    "MODEL_CHARACTERS",
    "PATH_CHARACTERS",
    "RECORD_BYTES",
    "encode",
    "escaped",
    "payer_of",
    "timestamp",
    "written_down",
]

RECORD_BYTES: Final = 1023 - LINK_BYTES
"""A record is never longer, its line feed included, before it is chained: in the journal it stays below 1 KiB."""
PATH_CHARACTERS: Final = 256
"""What is kept of a path; less where the record would grow too long."""

_FROM_OUTSIDE_CHARACTERS: Final = {"trace_id": 32, "method": 16, "client": 48}
MODEL_CHARACTERS: Final = 64
_SHORT_MODEL_CHARACTERS: Final = 32
_DISPENSABLE: Final = (  # the cost has been reckoned with them
    "output_audio_tokens",
    "input_audio_tokens",
    "cache_write_1h_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cached_input_tokens",
)
_LAST_TO_GO: Final = ("trace_id", "overhead_seconds", "first_byte_seconds")
_NAME_BYTES: Final = 26
_MILLISECONDS: Final = tuple(f".{milliseconds:03}Z" for milliseconds in range(1000))
_INT64_MAX: Final = 2**63 - 1
_DETAIL_CHARACTERS: Final = 160
_CALL_CHARACTERS: Final = 64
_ENDPOINT_CHARACTERS: Final = 48
_ATTEMPTS: Final = 4
"""So many attempts are kept, the last ones; a ``…`` before them says that there were more, and also where they are
left out so that the record does not grow too long."""
_SHADOWS: Final = 3
"""So many names of rules in the shadow are kept; a ``…`` behind them says that there were more."""
_NAMES: Final = ("principal", "key_id", "department", "agent", "code", "rule", "cost_center")
_URI_CHARACTERS: Final = "!#$%&'()*+,/:;=?@[]"


def encode(exchange: Exchange) -> bytes:
    """Return the record of an ended exchange: one line of JSON that ends in a line feed.

    The detail gives way first when a record would pass ``RECORD_BYTES``, then all attempts but the last, and then the
    path; then names become their digests, so that two callers stay two, and attempts a sign; then the rarest
    classes of tokens are left out.
    """
    return written_down(exchange)[0]


def written_down(exchange: Exchange) -> tuple[bytes, bool]:
    """Return the record as ``encode`` does, and whether nothing in it had to give way."""
    facts = _facts(exchange)
    try:
        line = orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:  # a lone surrogate, or an integer of more than 64 bits
        return _fitted(facts), False
    return (line, True) if len(line) <= RECORD_BYTES else (_fitted(facts), False)


def timestamp(wall: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 in UTC with milliseconds; such texts sort as the times do."""
    milliseconds = round(wall * 1000)
    return _second(milliseconds // 1000) + _MILLISECONDS[milliseconds % 1000]


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _facts(exchange: Exchange) -> dict[str, Any]:  # noqa: C901, PLR0912, PLR0915 - what is null is left out
    principal, agent, refused = exchange.principal, exchange.agent, exchange.refusal
    started, ended, forwarded = exchange.started, exchange.ended, exchange.forwarded
    first_byte, answered = exchange.first_byte, exchange.answered
    if ended is None:
        msg = f"exchange {exchange.id} has no record before it has ended"
        raise ValueError(msg)
    facts: dict[str, Any] = {"time": timestamp(exchange.started_wall), "request_id": exchange.id}
    if exchange.trace_id:
        facts["trace_id"] = exchange.trace_id
    if principal is None:
        facts["principal"] = None
    else:
        facts["principal"] = principal.id
        if principal.key_id is not None:
            facts["key_id"] = principal.key_id
        if principal.department is not None:
            facts["department"] = principal.department
    facts["agent"] = agent.id if agent is not None else None
    facts["method"] = exchange.method
    facts["path"] = escaped(exchange.full_path, PATH_CHARACTERS)
    facts["status"] = exchange.status
    facts["outcome"] = exchange.outcome
    facts["code"] = refused.code if refused is not None else None
    if refused is not None:
        if refused.rule is not None:
            facts["rule"] = refused.rule
        facts["detail"] = _cut(refused.detail, _DETAIL_CHARACTERS)
    if exchange.call is not None and (exchange.call.method or exchange.call_failure):
        facts["call"] = _call(exchange.call, exchange.call_failure)
    if exchange.attempts:
        facts["attempts"] = _attempts(exchange.attempts)
    if exchange.shadow_rules:
        facts["shadow"] = _shadow(exchange.shadow_rules)
    facts["duration_seconds"] = int((ended - started) * 1e6 + 0.5) / 1e6  # many times faster than round
    if first_byte is not None:
        facts["first_byte_seconds"] = int((first_byte - started) * 1e6 + 0.5) / 1e6
    overhead = (ended if forwarded is None else forwarded) - started  # what the agent never answered is the agent's
    if forwarded is not None and first_byte is not None and answered is not None:
        overhead += answered - first_byte
    facts["overhead_seconds"] = int(overhead * 1e6 + 0.5) / 1e6
    facts["bytes_in"] = exchange.bytes_in
    facts["bytes_out"] = exchange.bytes_out
    if exchange.messages_in is not None:
        facts["messages_in"], facts["messages_out"] = exchange.messages_in, exchange.messages_out
    facts["usage"] = _usage(exchange.usage)
    facts["cost_nanousd"] = exchange.cost_nanousd
    shares = exchange.cost_centers
    if shares and len(shares) > 1:
        facts["cost_centers"] = dict(shares)
    elif (cost_center := payer_of(exchange)) is not None:
        facts["cost_center"] = cost_center
    if exchange.client_address:
        facts["client"] = exchange.client_address
    facts["generation"] = exchange.generation
    if exchange.degraded:
        facts["degraded"] = True
    if exchange.cost_nanousd is None and exchange.usage.source != "unknown":
        facts["unpriced"] = True  # a usage that nobody has a price for is not the same as none
    return facts


def _call(call: Call, failure: str | None) -> dict[str, str]:
    """Return what was called, the tool where it was one, and how it has failed, if it has with a status of 200."""
    said = {"method": escaped(call.method, _CALL_CHARACTERS)} if call.method else {}
    if call.tool:
        said["tool"] = escaped(call.tool, _CALL_CHARACTERS)
    if failure is not None:
        said["failed"] = failure
    return said


def _attempts(attempts: tuple[Attempt, ...]) -> list[Any]:
    """Return each attempt as compactly as it can be read; the agent where it is not the one before it."""
    facts: list[Any] = []
    agent = attempts[0].agent.id
    for one in attempts:
        ended = one.code if one.status is None else one.status
        fact = {
            "endpoint": escaped(one.endpoint, _ENDPOINT_CHARACTERS),
            "ended": ended,
            "seconds": round(one.seconds, 4),
        }
        facts.append(fact if one.agent.id == agent else {"agent": one.agent.id, **fact})
        agent = one.agent.id
    return facts if len(facts) <= _ATTEMPTS else ["…", *facts[-_ATTEMPTS:]]


def payer_of(exchange: Exchange) -> str | None:
    """Return who pays for all of it."""
    if exchange.cost_centers:
        return exchange.cost_centers[0][0]
    agent, principal = exchange.agent, exchange.principal
    if agent is not None and agent.cost_center:
        return agent.cost_center
    return None if principal is None else principal.cost_center


def _shadow(rules: tuple[str, ...]) -> list[str]:
    return [*rules[:_SHADOWS], *("…" for _ in rules[_SHADOWS : _SHADOWS + 1])]


def _usage(usage: Usage) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": usage.source}
    if usage.model is not None:
        facts["model"] = _model(usage.model)
    if usage.input_tokens is not None:
        facts["input_tokens"] = usage.input_tokens
    if usage.cached_input_tokens is not None:
        facts["cached_input_tokens"] = usage.cached_input_tokens
    if usage.cache_write_tokens is not None:
        facts["cache_write_tokens"] = usage.cache_write_tokens
    if usage.cache_write_1h_tokens is not None:
        facts["cache_write_1h_tokens"] = usage.cache_write_1h_tokens
    if usage.input_audio_tokens is not None:
        facts["input_audio_tokens"] = usage.input_audio_tokens
    if usage.output_tokens is not None:
        facts["output_tokens"] = usage.output_tokens
    if usage.reasoning_tokens is not None:
        facts["reasoning_tokens"] = usage.reasoning_tokens
    if usage.output_audio_tokens is not None:
        facts["output_audio_tokens"] = usage.output_audio_tokens
    return facts


@lru_cache(maxsize=1024)
def _model(name: str) -> str:
    return escaped(name, MODEL_CHARACTERS)


def escaped(text: str, characters: int) -> str:
    """Return the text cut, with everything percent-encoded that JSON would make longer."""
    if len(text) <= characters and text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    head = text[: characters + 1]
    try:
        raw = head.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte of a request line
        raw = head.encode("utf-8", "replace")
    return _cut(quote(raw, safe=_URI_CHARACTERS), characters)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _fitted(facts: Mapping[str, Any]) -> bytes:
    """Return the record of facts that are too long, or that JSON has no words for."""
    tame = {name: _tame(fact) for name, fact in facts.items()}
    for name, characters in _FROM_OUTSIDE_CHARACTERS.items():
        if name in tame:
            tame[name] = escaped(tame[name], characters)
    line = orjson.dumps(tame, option=orjson.OPT_APPEND_NEWLINE)
    for name in ("detail", "attempts", "path"):
        if len(line) > RECORD_BYTES and name in tame:
            tame[name] = _less(tame[name], len(line) - RECORD_BYTES)
            line = orjson.dumps(tame, option=orjson.OPT_APPEND_NEWLINE)
    if len(line) > RECORD_BYTES:
        tame |= _short_names(tame)
        line = orjson.dumps(tame, option=orjson.OPT_APPEND_NEWLINE)
    for owner, name in (*((tame["usage"], name) for name in _DISPENSABLE), *((tame, name) for name in _LAST_TO_GO)):
        if len(line) > RECORD_BYTES and owner.pop(name, None) is not None:
            line = orjson.dumps(tame, option=orjson.OPT_APPEND_NEWLINE)
    return line


def _less(fact: str | list[Any], too_many: int) -> str | list[Any]:
    """Return a text without so many bytes, as far as that goes, or the last of several things."""
    if isinstance(fact, list):
        return ["…", fact[-1]] if len(fact) > 1 else fact
    return _cut(fact, max(1, len(fact) - too_many - len("…".encode())))


def _short_names(tame: Mapping[str, Any]) -> dict[str, Any]:
    """Return names as their digests where they are long, and lists of them as a sign that there were some."""
    short: dict[str, Any] = {name: _digest(tame[name]) for name in _NAMES if tame.get(name) is not None}
    short |= {name: ["…"] for name in ("shadow", "attempts") if name in tame}
    if "call" in tame:
        short["call"] = {name: _digest(said) for name, said in tame["call"].items()}
    if "cost_centers" in tame:
        short["cost_centers"] = {_digest(name): percent for name, percent in tame["cost_centers"].items()}
    if "model" in tame["usage"]:
        short["usage"] = {**tame["usage"], "model": _cut(tame["usage"]["model"], _SHORT_MODEL_CHARACTERS)}
    return short


def _tame(fact: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(fact, str):
        return fact.encode("utf-8", "replace").decode()
    if isinstance(fact, list):
        return [_tame(item) for item in fact]
    if isinstance(fact, dict):
        return {_tame(name): _tame(item) for name, item in fact.items()}
    if isinstance(fact, dict):
        return {name: _tame(item) for name, item in fact.items()}
    if isinstance(fact, int):
        return max(-_INT64_MAX, min(fact, _INT64_MAX))
    return fact


def _digest(name: str) -> str:
    """Return a name that is short enough as it is, of a longer one its digest."""
    text = orjson.dumps(name)
    return name if len(text) <= _NAME_BYTES else f"sha256:{hashlib.sha256(text).hexdigest()[:16]}"
